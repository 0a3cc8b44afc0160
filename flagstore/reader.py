"""Keeps what one process knows of a group up to date, from a thread of its own.

Every new snapshot is pushed over one connection; over a second one it is read again every second, which finds what a
broken or silent push connection misses. Nothing here is ever waited for by a request, except after a sleep of the CPU.
"""

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from redis.exceptions import RedisError

from flagstore.acknowledgements import Acknowledgement
from flagstore.commands import commands
from flagstore.connection import STORE_FAILURES, connect
from flagstore.held import Effect, Held, Source
from flagstore.keys import KeyFamily
from rollout.flags import FlagSnapshot

READ_EVERY = timedelta(seconds=1)
READ_JITTER = 0.1
"""Readers drift apart by this share of the period, so that a thousand of them do not ask at once."""
ANSWER_WITHIN = timedelta(milliseconds=500)
FIRST_READ_WITHIN = timedelta(seconds=1)
RETRY_AFTER = timedelta(milliseconds=50)
RETRY_AT_MOST_AFTER = timedelta(milliseconds=500)
PUSH_GRACE = timedelta(milliseconds=250)
"""A read that finds something new may only be ahead of its push; after this long, the push connection is broken."""
SUBSCRIBED_WITHIN = timedelta(seconds=1)
CLOSE_WITHIN = timedelta(seconds=2)
CANCEL_AGAIN_AFTER = timedelta(milliseconds=50)

_log = logging.getLogger("flagstore")


@dataclass
class ReaderCounts:
    """What happened since the start, for an application's own metrics."""

    reads: int = 0
    failed_reads: int = 0
    pushes: int = 0
    push_connections: int = 0
    regressions: int = 0


class FlagReader:
    """`changed` is called in the reader's thread after every attempt to read and every push; it must be quick."""

    def __init__(
        self, url: str, keys: KeyFamily, *, instance: str, changed: Callable[["FlagReader", Effect], None]
    ) -> None:
        self.held = Held()
        self.counts = ReaderCounts()
        self.pid = os.getpid()
        self.last_attempt = time.monotonic()
        """When the newest attempt that is over was sent: what it found is held by then, however long this process slept
        between its question and its answer."""
        self.last_contact: float | None = None
        self._keys = keys
        # redis-py opens connections when they are needed, so both clients are ready whatever the server is doing.
        self._client = connect(url, answer_within=ANSWER_WITHIN)
        self._push_client = connect(url, answer_within=ANSWER_WITHIN)
        self._reading = asyncio.Lock()
        self._instance = instance
        self._changed = changed
        self._attempted = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._pushed: tuple[int, int] = (0, 0)
        self._listening: asyncio.Task[None] | None = None
        self._subscribed = False
        self._thread = threading.Thread(target=self._serve, name=f"flags {keys.group}", daemon=True)

    def start(self) -> None:
        """Returns after the first attempt to read, whether it succeeded or not."""
        self._thread.start()
        self._attempted.wait(FIRST_READ_WITHIN.total_seconds())

    def read_now(self) -> None:
        """Have the reader's thread read once, and wait for it. For processes whose CPU sleeps between requests."""
        if self._loop is None or not self._thread.is_alive():
            return
        reading = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
        try:
            reading.result(ANSWER_WITHIN.total_seconds())
        except TimeoutError:
            reading.cancel()

    def close(self) -> None:
        if self._loop is not None and self._closing is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(CLOSE_WITHIN.total_seconds())

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        reading = asyncio.create_task(self._read_regularly())
        following = asyncio.create_task(self._follow_pushes())
        self._closing = asyncio.Event()
        closing = asyncio.create_task(self._closing.wait())
        self._loop = asyncio.get_running_loop()
        await asyncio.wait({reading, following, closing}, return_when=asyncio.FIRST_COMPLETED)
        tasks = [following, reading, closing]
        for task in tasks:
            await _end(task)
        if self._listening is not None:
            await _end(self._listening)
        await self._say_goodbye()
        await self._client.aclose()
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _read_regularly(self) -> None:
        failures = 0
        while True:
            pushes_expected, known = self._subscribed, self.held.newest
            effect = await self._read()
            if effect is Effect.FAILED:
                delay = _backoff(failures)
                failures += 1
            else:
                delay = READ_EVERY.total_seconds() * random.uniform(1 - READ_JITTER, 1 + READ_JITTER)  # noqa: S311
                failures = 0
            if effect is Effect.APPLIED and pushes_expected and known is not None:
                await self._see_that_the_push_comes()
            await asyncio.sleep(delay)

    async def _see_that_the_push_comes(self) -> None:
        found = self.held.newest
        await asyncio.sleep(PUSH_GRACE.total_seconds())
        if found is not None and self._pushed < found.position and self._listening is not None:
            _log.warning("flags of %s: the push connection is silent, it is built anew", self._keys.group)
            self._listening.cancel()

    async def _read(self) -> Effect:
        """Read once, and acknowledge."""
        async with self._reading:
            # Contact counts from the sending: the answer may have been on its way for long.
            sent = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                    text, lease = await commands(self._client).mget([self._keys.snapshot, self._keys.lease])
                found = None if text is None else FlagSnapshot.model_validate_json(text)
            except (*STORE_FAILURES, ValueError) as failure:
                self.counts.failed_reads += 1
                self.last_attempt = sent
                _log.debug("flags of %s cannot be read: %s", self._keys.group, failure)
                self._attempted.set()
                self._changed(self, Effect.FAILED)
                return Effect.FAILED
            self.counts.reads += 1
            effect = self._receive(found, Source.READ, lease_alive=lease is not None)
            self.last_contact = self.last_attempt = sent
            self._changed(self, effect)
            self._attempted.set()
            await self._acknowledge()
            return effect

    def _receive(self, found: FlagSnapshot | None, source: Source, *, lease_alive: bool = True) -> Effect:
        was_regressed = self.held.regressed
        self.held, effect = self.held.received(found, source, lease_alive=lease_alive)
        if self.held.regressed and not was_regressed:
            self.counts.regressions += 1
            _log.error(
                "the flag store of %s has lost writes: it shows %s after %s; of each flag the smaller exposure is kept",
                self._keys.group,
                None if found is None else found.position,
                None if self.held.newest is None else self.held.newest.position,
            )
        return effect

    async def _acknowledge(self) -> None:
        newest = self.held.newest
        if newest is None:
            return
        said = Acknowledgement(newest.epoch, newest.rev, time.time_ns() // 1_000_000)
        try:
            await commands(self._client).hset(self._keys.acknowledgements, self._instance, said.text)
        except STORE_FAILURES as failure:
            _log.debug("flags of %s: the acknowledgement was not taken: %s", self._keys.group, failure)

    async def _say_goodbye(self) -> None:
        try:
            await commands(self._client).hdel(self._keys.acknowledgements, self._instance)
        except STORE_FAILURES as failure:
            _log.debug("flags of %s: the acknowledgement was not withdrawn: %s", self._keys.group, failure)

    async def _follow_pushes(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            self._listening = asyncio.create_task(self._listen())
            try:
                await asyncio.wait({self._listening})
            finally:
                self._subscribed = False
                self._listening.cancel()
            if not self._listening.cancelled():
                _log.debug("flags of %s: no pushes: %s", self._keys.group, self._listening.exception())
            failures = 0 if time.monotonic() - began > READ_EVERY.total_seconds() else failures + 1
            await asyncio.sleep(_backoff(failures))

    async def _listen(self) -> None:
        # Opened anew each time: a Cluster's client has to learn first, and after a failover again, which node to ask.
        async with self._push_client, self._push_client.pubsub() as channel:
            await channel.subscribe(self._keys.channel)
            confirmation = await channel.get_message(timeout=SUBSCRIBED_WITHIN.total_seconds())
            if confirmation is None:
                raise RedisError("the subscription was not confirmed")
            self.counts.push_connections += 1
            self._subscribed = True
            # What was published before the subscription, or between two of them, is found by reading.
            await self._read()
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=None)
                if message is not None:
                    await self._take_push(message["data"])

    async def _take_push(self, text: str) -> None:
        try:
            found = FlagSnapshot.model_validate_json(text)
        except ValidationError as failure:
            _log.warning("flags of %s: a push that is no snapshot: %s", self._keys.group, failure)
            return
        self.counts.pushes += 1
        self._pushed = max(self._pushed, found.position)
        effect = self._receive(found, Source.PUSH)
        self._changed(self, effect)
        if effect is Effect.APPLIED:
            await self._acknowledge()


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel until it is over: a client that is just connecting may take one cancellation for a failure to connect."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_AFTER.total_seconds())
    if not task.cancelled() and (failure := task.exception()) is not None:
        _log.debug("%s ended while it was closed: %s", task.get_name(), failure)


def _backoff(failures: int) -> float:
    longest = min(RETRY_AT_MOST_AFTER, RETRY_AFTER * 2 ** min(failures, 10)).total_seconds()
    return random.uniform(longest / 2, longest)  # noqa: S311  (spread, not secrecy)
