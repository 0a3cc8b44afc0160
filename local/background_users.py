"""Simulated users in a thread of their own, beside a program that does something else."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from local.simulated_users import SimulatedUsers, Tally

USERS_PER_SERVICE = 10
REQUESTS_PER_SECOND_AND_SERVICE = 10.0


class BackgroundUsers:
    """A context manager: the users of all `urls` are active in it. Their `tallies`, one per service, grow meanwhile."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._groups = [
            SimulatedUsers(url, count=USERS_PER_SERVICE, requests_per_second=REQUESTS_PER_SECOND_AND_SERVICE)
            for url in urls
        ]
        self._leave = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._stay()), name="simulated-users")

    @property
    def tallies(self) -> list[Tally]:
        return [group.tally for group in self._groups]

    def __enter__(self) -> Self:
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


def in_words(tallies: Sequence[Tally]) -> str:
    """One sentence: what was served, what failed in the application, what was lost on the way."""
    served, failed, lost = (sum(getattr(each, name) for each in tallies) for name in ("served", "failed", "lost"))
    events, missing = sum(each.events for each in tallies), sum(each.events_lost for each in tallies)
    return (
        f"{served} requests were served ({failed} of them answered with an error of the application), {lost} were "
        f"lost; {events} events arrived, {missing} were lost."
    )
