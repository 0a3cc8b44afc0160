"""Simulated users in a thread of their own, beside a program that does something else."""

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from local.simulated_users import SimulatedUsers, Tally

USERS_PER_SERVICE = 100
REQUESTS_PER_SECOND_AND_SERVICE = 150.0
"""Enough for the rehearsal's gates, whose windows are seconds. Two services of it take a third of a core, all told."""
LISTENING = 30
INTERNAL = 2


class BackgroundUsers:
    """A context manager: the users of all `urls` are active in it. Their `tallies`, one per service, grow meanwhile.

    `since` is when they began, on the monotonic clock.
    """

    since: float

    def __init__(self, urls: Sequence[str]) -> None:
        self._groups = [
            SimulatedUsers(
                url,
                count=USERS_PER_SERVICE,
                requests_per_second=REQUESTS_PER_SECOND_AND_SERVICE,
                internal=INTERNAL,
                listening=LISTENING,
            )
            for url in urls
        ]
        self._leave = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._stay()), name="simulated-users")

    @property
    def tallies(self) -> list[Tally]:
        return [group.tally for group in self._groups]

    def __enter__(self) -> Self:
        self.since = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave.set()
        self._thread.join()

    async def _stay(self) -> None:
        async with AsyncExitStack() as active:
            for group in self._groups:
                await active.enter_async_context(group.active())
            await asyncio.to_thread(self._leave.wait)


def total(tallies: Sequence[Tally]) -> Tally:
    """What the users of all services met together, as of now."""
    return sum(tallies, start=Tally())


def in_words(tally: Tally) -> str:
    """One sentence: what was served, what failed in the application, what was lost on the way, and how first."""
    first = f" (the first: {tally.first_loss})" if tally.first_loss else ""
    return (
        f"{tally.served:,} requests were served ({tally.failed:,} of them answered with an error of the application), "
        f"{tally.lost:,} were lost{first}; {tally.events:,} WebSocket events arrived, {tally.events_lost:,} were lost."
    )
