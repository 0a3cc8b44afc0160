"""Follows the flag snapshots in Redis: which share of the users is treated, and since when.

The snapshot is read as plain JSON, so that the sandbox needs nothing of the flag store's code. A change is pushed
over the group's channel; a poll every second catches what a broken connection missed.
"""

import asyncio
import json
import logging
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from sandbox.clock import SandboxClock
from sandbox.history import History
from sandbox.journal import Journal, history_as_json, history_of

_log = logging.getLogger(__name__)

_SHARE = "treated share"
POLL_SECONDS = 1.0
RECONNECT_SECONDS = 0.2
INTERNAL_SHARE = 0.01
"""Of all traffic, the part that comes from an audience such as a company's own people."""
_BASIS_POINTS = 10_000


class SnapshotError(ValueError):
    """A snapshot that says nothing usable; applications would keep their features off."""


def treated_share_of(snapshot: str | bytes | None) -> float:
    """The share of users (0 to 1) that at least one flag of the group treats; no snapshot treats nobody.

    Raises:
        SnapshotError: the text is no JSON, or a flag's exposure is none of `off`, `audience` and `percent`.
    """
    if snapshot is None:
        return 0.0
    try:
        document = json.loads(snapshot)
        if document.get("latch"):
            return 0.0
        return max((_share(name, flag) for name, flag in document["flags"].items()), default=0.0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SnapshotError(f"unusable flag snapshot ({error!r}): {snapshot!r}") from error


def _share(name: str, flag: dict[str, Any]) -> float:
    match flag["exposure"]:
        case "off":
            return 0.0
        case "audience":
            return INTERNAL_SHARE
        case "percent":
            return min(1.0, max(0.0, float(flag["bp"]) / _BASIS_POINTS))
        case other:
            raise ValueError(f"flag {name}: exposure {other!r}")


class FlagWatch:
    """The treated share of every watched group (`ENV:GROUP`), with its past."""

    def __init__(self, redis_url: str, clock: SandboxClock, journal: Journal) -> None:
        self._redis_url = redis_url
        self._clock = clock
        self._journal = journal
        self._shares: dict[str, History[float]] = {
            group: history_of(text, float) for group, text in journal.held(_SHARE)
        }
        self._snapshots: dict[str, str | bytes | None] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def follow(self, group: str) -> History[float]:
        """The share of `group` over time; it is read once before this returns and followed until `close`.

        Of a group that was kept the share is what it was at last until it can be read: Redis need not be there.
        """
        if group not in self._tasks:
            if group not in self._shares:
                self._shares[group] = History(0.0)
                async with self._connect() as redis:
                    await self._read(redis, group)
            self._tasks[group] = asyncio.create_task(self._keep_following(group))
        return self._shares[group]

    async def close(self) -> None:
        """Stop following. A task that is just reconnecting may lose its cancellation inside the Redis client, and ends
        with its next poll instead.
        """
        self._closed = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _connect(self) -> Redis:
        return Redis.from_url(self._redis_url)

    async def _keep_following(self, group: str) -> None:
        while not self._closed:
            try:
                async with self._connect() as redis, redis.pubsub() as channel:
                    await channel.subscribe(f"{{rf:{group}}}:chg")
                    while not self._closed:
                        await channel.get_message(ignore_subscribe_messages=False, timeout=POLL_SECONDS)
                        await self._read(redis, group)
            except RedisError as error:
                _log.warning("flag group %s cannot be read, its last known share stays: %s", group, error)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _read(self, redis: Redis, group: str) -> None:
        snapshot = await redis.get(f"{{rf:{group}}}:snap")
        if group in self._snapshots and self._snapshots[group] == snapshot:
            return
        self._snapshots[group] = snapshot
        try:
            share = treated_share_of(snapshot)
        except SnapshotError as error:
            _log.warning("flag group %s treats nobody: %s", group, error)
            share = 0.0
        history = self._shares[group]
        history.record(await self._clock.now(), share)
        self._journal.changed(_SHARE, group, lambda: history_as_json(history, float))
