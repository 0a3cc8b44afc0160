"""A whole probe: look, try, clean up whatever happened, report."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from google.auth.exceptions import GoogleAuthError

from activities.google_clients import GoogleClients, google_clients
from config.settings import Settings
from rollout.traffic import ServiceRef
from starter import probe_writes
from starter.outcome import failed, refused
from starter.probe_calls import CallFailed, Calls
from starter.probe_metrics import RunMetrics
from starter.probe_report import (
    READ_POINTS,
    SCRATCH_LABEL,
    SCRATCH_VALUE,
    Cleanup,
    Point,
    PointName,
    Profile,
    Report,
    State,
)
from starter.probe_scratch import CannotTell, ScratchService, is_scratch

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What the user asked for. `image` is that of a service to create, None where an existing one is to be used."""

    ref: ServiceRef
    image: str | None
    keep: bool
    read_only: bool
    within_seconds: float


async def look(wanted: Wanted, settings: Settings) -> None:
    """See that this probe may be run as it is asked for. Changes nothing.

    Raises:
        CommandEnds: the service is not one that may be touched, or it could not be looked at.
    """
    async with _clients(settings) as google:
        await _require_fit(wanted, ScratchService(google.services, wanted.ref, Calls()))


async def probe(wanted: Wanted, settings: Settings, tell: Tell) -> Report:
    """Run the probe; returns what was found once everything is put back, also after Ctrl-C and SIGTERM.

    Raises:
        CommandEnds: as `look`.
    """
    async with _clients(settings) as google:
        calls = Calls()
        scratch = ScratchService(google.services, wanted.ref, calls)
        await _require_fit(wanted, scratch)
        run = _Run(wanted, scratch, RunMetrics(google.metrics, wanted.ref, calls), calls, tell)
        began, clock = datetime.now(UTC), time.monotonic()
        try:
            stopped = await _until_stopped(run.everything(), wanted.within_seconds, tell)
        finally:
            # Not inside what a signal or a failure ends.
            cleanup = await _to_the_end(run.clean_up(), tell)
        return Report(
            project=wanted.ref.project,
            region=wanted.ref.region,
            service=wanted.ref.service,
            google=where(settings),
            began=began,
            seconds=round(time.monotonic() - clock, 1),
            read_only=wanted.read_only,
            stopped=stopped,
            points=run.points(stopped),
            profile=Profile(**run.profile),
            cleanup=cleanup,
        )


def where(settings: Settings) -> str:
    return "Google" if settings.google_endpoint is None else f"the sandbox at {settings.google_endpoint}"


@asynccontextmanager
async def _clients(settings: Settings) -> AsyncIterator[GoogleClients]:
    try:
        google = google_clients(settings.google_endpoint)
    except GoogleAuthError as failure:
        raise failed(f"Google cannot be asked: {failure}") from failure
    try:
        yield google
    finally:
        await google.close()


async def _require_fit(wanted: Wanted, scratch: ScratchService) -> None:
    name, label = wanted.ref.service, f"{SCRATCH_LABEL}={SCRATCH_VALUE}"
    try:
        service = await scratch.find()
    except CallFailed as failure:
        raise failed(f"Nothing was changed. {failure}") from failure
    if service is None:
        if wanted.image is None:
            create = "" if wanted.read_only else "; --create makes a scratch service of that name and deletes it again"
            raise refused(f"--service: {name} does not exist in {wanted.ref.project}, {wanted.ref.region}{create}")
        return
    if wanted.read_only:
        return
    if not is_scratch(service):
        raise refused(
            f"--service: {name} exists and has no label {label}: it is not touched. Name a scratch service that has "
            "the label, or with --create a name that is free"
        )
    if wanted.image is not None:
        raise refused(f"--create: {name} exists already, with the label {label}; leave --create out to use it")


async def _until_stopped(work: Awaitable[None], within_seconds: float, tell: Tell) -> str | None:
    """Run `work`; returns why it was stopped early, or None."""
    task: asyncio.Future[None] = asyncio.ensure_future(work)
    why: list[str] = []

    def stop(reason: str) -> None:
        why.append(reason)
        tell(f"Stopping, {reason}; what was changed is put back first …")
        task.cancel()

    with _on_signals(lambda: stop("told to stop") if not why else None):
        done, _ = await asyncio.wait([task], timeout=within_seconds)
        if not done and not why:
            stop(f"{within_seconds:g} s are over")
        await asyncio.wait([task])
    if task.cancelled():
        return why[0]
    task.result()
    return None


async def _to_the_end(cleaning: Awaitable[Cleanup], tell: Tell) -> Cleanup:
    with _on_signals(lambda: tell("Still putting back what was changed …")):
        return await cleaning


class _on_signals:  # noqa: N801  (used as a function is)
    """While inside, SIGINT and SIGTERM call `react` and do nothing else."""

    def __init__(self, react: Callable[[], None]) -> None:
        self._react = react
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for told in (signal.SIGINT, signal.SIGTERM):
            self._before[told] = signal.getsignal(told)
            loop.add_signal_handler(told, self._react)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for told, before in self._before.items():
            loop.remove_signal_handler(told)
            signal.signal(told, before)


@dataclass
class _Run:
    wanted: Wanted
    scratch: ScratchService
    metrics: RunMetrics
    calls: Calls
    tell: Tell
    profile: dict[str, Any] = field(default_factory=dict)
    _found: dict[PointName, Point] = field(default_factory=dict)
    _why_not: str = "not reached"

    async def everything(self) -> None:
        if not self.wanted.read_only:
            await self._changing()
        await self._try(PointName.INGEST_DELAY, self._ingest_delay)
        await self._try(PointName.BUCKETS, self.metrics.buckets)

    async def _changing(self) -> None:
        scratch = self.scratch
        try:
            if self.wanted.image is None:
                await scratch.adopt()
            else:
                self.tell(f"Creating {self.wanted.ref.service} …")
                await scratch.create(self.wanted.image)
        except (CallFailed, CannotTell) as failure:
            self._why_not = str(failure)
            return
        await self._try(PointName.INFLIGHT, self._inflight)
        await self._try(PointName.ETAG, self._etag)
        await self._try(PointName.RECONCILE, self._reconcile)
        for name, rows in probe_writes.refusals(scratch).items():

            async def refusal(name: PointName = name, rows: Any = rows) -> Point:
                return await probe_writes.refusal(scratch, name, rows)

            await self._try(name, refusal)

    async def _inflight(self) -> Point:
        point, self.profile["inflight"] = await probe_writes.inflight(self.scratch)
        return point

    async def _etag(self) -> Point:
        point, self.profile["etag"] = await probe_writes.etag(self.scratch)
        return point

    async def _reconcile(self) -> Point:
        point, self.profile["reconcile_seconds"] = await probe_writes.reconcile(self.scratch)
        return point

    async def _ingest_delay(self) -> Point:
        point, self.profile["sample_seconds"], self.profile["ingest_delay_seconds"] = await self.metrics.ingest_delay()
        return point

    async def _try(self, name: PointName, experiment: Callable[[], Awaitable[Point]]) -> None:
        self.tell(f"{name.value} …")
        try:
            self._found[name] = await experiment()
        except (CallFailed, CannotTell) as failure:
            self._found[name] = Point(name=name, state=State.OPEN, found=str(failure))

    async def clean_up(self) -> Cleanup:
        return await self.scratch.clean_up(keep=self.wanted.keep)

    def points(self, stopped: str | None) -> tuple[Point, ...]:
        """Every point, also those that were not come to."""
        self._found[PointName.RATE_LIMITS] = self._rate_limits()
        return tuple(self._found.get(name) or self._missing(name, stopped) for name in PointName)

    def _missing(self, name: PointName, stopped: str | None) -> Point:
        if self.wanted.read_only and name not in READ_POINTS:
            return Point(name=name, state=State.NOT_ASKED, found="--read-only changes nothing, and this needs a change")
        return Point(name=name, state=State.OPEN, found=stopped or self._why_not)

    def _rate_limits(self) -> Point:
        made = ", ".join(f"{count} {method}" for method, count in sorted(self.calls.made.items()))
        refused_ones = f"{len(self.calls.throttled)} refused with RESOURCE_EXHAUSTED"
        found = f"only reported, never driven at: {made}; {refused_ones if self.calls.throttled else 'none refused'}"
        return Point(
            name=PointName.RATE_LIMITS,
            state=State.SETTLED,
            found=found,
            seen=tuple(dict.fromkeys(self.calls.throttled)),
        )
