"""A whole probe: look, try, clean up whatever happened, report."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from config.settings import Settings
from rollout.traffic import ServiceRef
from starter import probe_writes
from starter.google_access import google_for
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

TOLD_TO_STOP = "told to stop"

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
    async with google_for(settings) as google:
        await _require_fit(wanted, ScratchService(google.services, wanted.ref, Calls()))


async def probe(wanted: Wanted, settings: Settings, tell: Tell) -> Report:
    """Run the probe; returns what was found once everything is put back, also after Ctrl-C and SIGTERM.

    Raises:
        CommandEnds: as `look`.
    """
    async with google_for(settings) as google:
        calls = Calls()
        scratch = ScratchService(google.services, wanted.ref, calls)
        await _require_fit(wanted, scratch)
        run = _Run(wanted, scratch, RunMetrics(google.metrics, wanted.ref, calls), calls, tell)
        began, clock = datetime.now(UTC), time.monotonic()
        stop = _Stop(tell)
        with _on_signals(stop.for_a_signal):
            try:
                await stop.run(run.everything(), wanted.within_seconds)
            finally:
                cleanup = await run.clean_up()
                if not cleanup.done:
                    tell(cleanup.text)
        return Report(
            project=wanted.ref.project,
            region=wanted.ref.region,
            service=wanted.ref.service,
            google=where(settings),
            began=began,
            seconds=round(time.monotonic() - clock, 1),
            read_only=wanted.read_only,
            stopped=stop.why,
            points=run.points(stop.why),
            profile=Profile(**run.profile),
            cleanup=cleanup,
        )


def where(settings: Settings) -> str:
    return "Google" if settings.google_endpoint is None else f"the sandbox at {settings.google_endpoint}"


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


class _Stop:
    """Ends the work early, by a signal or because its time is over. The first one counts, later ones are answered:
    what cleans up is not ended by any.
    """

    def __init__(self, tell: Tell) -> None:
        self.why: str | None = None
        self._tell = tell
        self._task: asyncio.Future[None] | None = None

    async def run(self, work: Coroutine[Any, Any, None], within_seconds: float) -> None:
        """Run `work` to its end, or until it is stopped; `why` says then why. Raises what `work` raises."""
        self._task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait([self._task], timeout=within_seconds)
        if not done:
            self._stop(f"{within_seconds:g} s are over")
            await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    def for_a_signal(self) -> None:
        self._stop(TOLD_TO_STOP)

    def _stop(self, why: str) -> None:
        if self.why is not None or self._task is None or self._task.done():
            self._tell("Still putting back what was changed …")
            return
        self.why = why
        self._tell(f"Stopping, {why}; what was changed is put back first …")
        self._task.cancel()


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
        found = f"never driven at: {made}; {refused_ones if self.calls.throttled else 'none refused'}"
        return Point(
            name=PointName.RATE_LIMITS,
            state=State.REPORTED,
            found=found,
            seen=tuple(dict.fromkeys(self.calls.throttled)),
        )
