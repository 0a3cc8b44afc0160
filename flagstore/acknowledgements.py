"""What application instances say they show, and waiting until all of them show an emergency.

An instance repeats its acknowledgement every second, so a live one is known by a text that changes. No two clocks are
compared: an instance that stays silent for the lease has by its own rule turned partial exposure off.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from flagstore.commands import Commands
from flagstore.keys import KeyFamily

BETWEEN_LOOKS = timedelta(milliseconds=20)
FORGOTTEN_AFTER = timedelta(hours=1)
"""An instance that stopped without saying so is dropped from the list then; far beyond any difference of clocks."""


@dataclass(frozen=True)
class Acknowledgement:
    """The newest position that an instance shows. `ms` is its own wall clock, for display."""

    epoch: int
    rev: int
    ms: int

    @property
    def position(self) -> tuple[int, int]:
        return self.epoch, self.rev

    @property
    def text(self) -> str:
        return f"{self.epoch}:{self.rev}:{self.ms}"


@dataclass(frozen=True)
class Confirmations:
    """Instances that show the position, that still may show an older one, and that were silent for a whole lease."""

    confirmed: tuple[str, ...]
    waiting: tuple[str, ...]
    expired: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not self.waiting


async def current_acknowledgements(redis: Commands, keys: KeyFamily) -> dict[str, Acknowledgement]:
    """By instance. Those that are long silent are removed from the store."""
    held = await redis.hgetall(keys.acknowledgements)
    seconds, _ = await redis.time()
    oldest = (seconds - FORGOTTEN_AFTER.total_seconds()) * 1000
    read = {instance: _parsed(text) for instance, text in held.items()}
    gone = [instance for instance, found in read.items() if found is None or found.ms < oldest]
    if gone:
        await redis.hdel(keys.acknowledgements, *gone)
    return {instance: found for instance, found in read.items() if found is not None and instance not in gone}


async def confirmations(
    redis: Commands, keys: KeyFamily, position: tuple[int, int], *, within: timedelta, lease: timedelta
) -> Confirmations:
    """Look until nobody is waited for, or `within` is over."""
    began = time.monotonic()
    first_seen: dict[str, tuple[Acknowledgement, float]] = {}
    while True:
        confirmed, waiting, expired = [], [], []
        now = time.monotonic()
        for instance, found in sorted((await current_acknowledgements(redis, keys)).items()):
            said, since = first_seen.get(instance, (found, now))
            if said != found:
                since = now
            first_seen[instance] = (found, since)
            if found.position >= position:
                confirmed.append(instance)
            elif now - since >= lease.total_seconds():
                expired.append(instance)
            else:
                waiting.append(instance)
        if not waiting or now - began >= within.total_seconds():
            return Confirmations(tuple(confirmed), tuple(waiting), tuple(expired))
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds())


def _parsed(text: str) -> Acknowledgement | None:
    try:
        epoch, rev, ms = (int(part) for part in text.split(":"))
    except ValueError:
        return None
    return Acknowledgement(epoch, rev, ms)
