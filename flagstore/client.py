"""What an application asks: is this flag on for this user, now?

    with Flags(url, environment="production", group="request-isolation") as flags:
        if flags.is_enabled("request_isolation", user_id, email):
            ...

Answers come from memory, in about a microsecond, from any thread and from asyncio code alike. They follow the store
within milliseconds, and go off by themselves when the store is not heard of for the lease.
"""

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from flagstore.answers import FlagDetails, FlagsStatus, Happening, Listener
from flagstore.held import Effect, Leases, Limit
from flagstore.keys import KeyFamily
from flagstore.reader import FlagReader, ReaderCounts
from rollout.cohorts import cohort_label
from rollout.flags import CompiledFlags, Exposure, FlagSnapshot, evaluate

STALE_AFTER = timedelta(seconds=3)
"""An application is told that the store is silent then, long before any lease is over."""
ASLEEP_AFTER = timedelta(seconds=2)
"""A reader that has not even tried for so long was not given a CPU: the next question reads before it is answered."""

_log = logging.getLogger("flagstore")


@dataclass(frozen=True, slots=True)
class _View:
    """What is shown until `good_until` (of the monotonic clock), if nothing arrives before."""

    is_enabled: Callable[[str, str | None, str | None], bool]
    snapshot: FlagSnapshot | None
    limit: Limit
    good_until: float


def _nobody(_flag: str, _user_id: str | None, _email: str | None) -> bool:
    return False


_NOTHING_SEEN = _View(_nobody, None, Limit.NOT_READY, float("-inf"))


class Flags:
    """The flags of one group, for one process. `start` it once; it starts itself again in a forked child."""

    def __init__(
        self,
        url: str,
        environment: str,
        group: str,
        *,
        leases: Leases | None = None,
        instance: str | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._url = url
        self._keys = KeyFamily(environment, group)
        self._leases = leases or Leases()
        self._instance = instance
        self._listener = listener
        self._started = False
        self.begin_anew()
        _IN_THIS_PROCESS.add(self)

    def begin_anew(self) -> None:
        """Forget the reader without closing it: after a fork its thread and its connections are the parent's."""
        self._starting = threading.Lock()
        self._looking = threading.Lock()
        self._reader: FlagReader | None = None
        self._listening: ThreadPoolExecutor | None = None
        self._compiled: CompiledFlags | None = None
        self._view = _NOTHING_SEEN
        self._told: Mapping[str, Exposure] = {}
        self._told_stale = False
        self._told_misuse = False

    def start(self) -> Self:
        """Read once, and follow from now on. Returns within about a second, whether the store answers or not."""
        with self._starting:
            self._started = True
            self._start_reader()
        return self

    def close(self) -> None:
        """From now on every answer is off."""
        with self._starting, self._looking:
            self._started = False
            reader, listening = self._reader, self._listening
            self._reader, self._listening, self._view = None, None, _NOTHING_SEEN
        # Waited for without a lock: a listener that is being called may still ask.
        if reader is not None:
            reader.close()
        if listening is not None:
            listening.shutdown()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def is_enabled(self, flag: str, user_id: str | None, email: str | None = None) -> bool:
        """Whether the flag is on for the user. Never raises: what cannot be answered is off."""
        view = self._view
        if time.monotonic() > view.good_until:
            view = self._renewed()
        try:
            return view.is_enabled(flag, user_id, email)
        except (AttributeError, TypeError) as misuse:
            self._tell_misuse(misuse)
            return False

    def details(self, flag: str, user_id: str | None, email: str | None = None) -> FlagDetails:
        """As `is_enabled`, with the reasons, for callers that give texts."""
        view = self._current()
        snapshot = view.snapshot
        if snapshot is None:
            return FlagDetails(
                enabled=False,
                reason="NOT_READY",
                stage="off",
                bucket=None,
                epoch=0,
                rev=0,
                latch=False,
                limit=view.limit,
            )
        found = evaluate(snapshot, flag, user_id, email)
        return FlagDetails(
            enabled=found.enabled,
            reason=found.reason,
            stage=found.stage,
            bucket=found.bucket,
            epoch=snapshot.epoch,
            rev=snapshot.rev,
            latch=snapshot.latch,
            limit=view.limit,
        )

    def cohort(self, user_id: str | None, email: str | None = None, *, steps: Sequence[float]) -> str:
        """The label of the part of the cohort that the user is in, whether or not anybody is exposed.

        `steps` are the percentages that a rollout stops at, ascending, such as (10, 50); see `rollout.cohorts`.
        """
        return cohort_label(self._current().snapshot, steps, user_id, email)

    async def ensure_fresh(self) -> None:
        """For asyncio code whose CPU sleeps between requests: what `is_enabled` would read, beside the event loop."""
        if time.monotonic() > self._view.good_until:
            await asyncio.to_thread(self._renewed)

    @property
    def snapshot(self) -> FlagSnapshot | None:
        """What is shown now; None as long as nothing was ever read."""
        return self._current().snapshot

    def status(self) -> FlagsStatus:
        view, reader = self._current(), self._reader
        if reader is None:
            return FlagsStatus(None, None, view.limit, ReaderCounts())
        newest, contact = reader.held.newest, reader.last_contact
        return FlagsStatus(
            position=None if newest is None else newest.position,
            silent_for=None if contact is None else time.monotonic() - contact,
            limit=view.limit,
            counts=reader.counts,
        )

    def _current(self) -> _View:
        view = self._view
        return self._renewed() if time.monotonic() > view.good_until else view

    def _renewed(self) -> _View:
        """The view after its time: a lease ran out, this process slept, or it was forked."""
        with self._starting:
            if not self._started:
                return _NOTHING_SEEN
            reader = self._start_reader()
            if time.monotonic() - reader.last_attempt > ASLEEP_AFTER.total_seconds():
                reader.read_now()
            return self._look(reader)

    def _start_reader(self) -> FlagReader:
        if self._reader is None:
            if self._listener is not None:
                self._listening = ThreadPoolExecutor(max_workers=1, thread_name_prefix="flags-listener")
            instance = self._instance or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
            self._reader = FlagReader(self._url, self._keys, instance=instance, changed=self._reader_moved)
            self._reader.start()
        return self._reader

    def _look(self, reader: FlagReader) -> _View:
        # One at a time: a look at what was held before must never replace a look at what is held since.
        with self._looking:
            if reader is not self._reader:
                return _NOTHING_SEEN
            now, contact = time.monotonic(), reader.last_contact
            silent_for = float("inf") if contact is None else now - contact
            snapshot, limit, lasts = reader.held.shown_after(silent_for, self._leases)
            good_until = min(now + lasts, reader.last_attempt + ASLEEP_AFTER.total_seconds())
            if snapshot is None:
                self._view = _View(_nobody, None, limit, good_until)
            else:
                if self._compiled is None or self._compiled.snapshot is not snapshot:
                    self._compiled = CompiledFlags(snapshot)
                self._view = _View(self._compiled.is_enabled, snapshot, limit, good_until)
            return self._view

    def _reader_moved(self, reader: FlagReader, effect: Effect) -> None:
        regressed_before = self._view.limit is Limit.REGRESSED
        view, listening = self._look(reader), self._listening
        if self._listener is None or listening is None:
            return
        shown = view.snapshot.flags if view.snapshot else {}
        changed = tuple(sorted(flag for flag in {*self._told, *shown} if self._told.get(flag) != shown.get(flag)))
        contact = reader.last_contact
        stale = contact is None or time.monotonic() - contact > STALE_AFTER.total_seconds()
        happened = []
        if view.limit is Limit.REGRESSED and not regressed_before:
            happened.append(Happening.REGRESSED)
        elif changed or effect is Effect.APPLIED:
            happened.append(Happening.CHANGED)
        if stale is not self._told_stale:
            happened.append(Happening.STALE if stale else Happening.READY)
        self._told, self._told_stale = shown, stale
        for happening in happened:
            listening.submit(self._listener, happening, view.snapshot, changed)

    def _tell_misuse(self, misuse: Exception) -> None:
        if not self._told_misuse:
            self._told_misuse = True
            _log.error("flags of %s: asked with something that is no text, answered off: %r", self._keys.group, misuse)


_IN_THIS_PROCESS: "weakref.WeakSet[Flags]" = weakref.WeakSet()


def _after_fork() -> None:
    for flags in tuple(_IN_THIS_PROCESS):
        flags.begin_anew()


os.register_at_fork(after_in_child=_after_fork)
