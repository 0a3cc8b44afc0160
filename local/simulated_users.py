"""Users of a service, on the event loop: each asks again and again, and some follow events over a WebSocket.

    async with SimulatedUsers(url, count=20, requests_per_second=30.0).active() as users:
        ...
    print(users.tally)

Users come back after a closed WebSocket and name the last event they had, so an event that is missing was lost.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, WSMsgType

INTERNAL_DOMAIN = "netrasystems.ai"
_GOLDEN_RATIO = 0.6180339887498949
_BETWEEN_CONNECTIONS_SECONDS = 0.05
_LONGEST_ANSWER = ClientTimeout(total=30.0)
_NOT_SERVED = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


@dataclass(slots=True)
class Tally:
    """What the users met. A request is lost when nobody answered it; an answer with code 500 is served, and failed."""

    served: int = 0
    failed: int = 0
    lost: int = 0
    events: int = 0
    events_lost: int = 0
    reconnections: int = 0
    by_revision: Counter[str] = field(default_factory=Counter)
    by_group: Counter[str] = field(default_factory=Counter)
    first_loss: str | None = None

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            served=self.served + other.served,
            failed=self.failed + other.failed,
            lost=self.lost + other.lost,
            events=self.events + other.events,
            events_lost=self.events_lost + other.events_lost,
            reconnections=self.reconnections + other.reconnections,
            by_revision=self.by_revision + other.by_revision,
            by_group=self.by_group + other.by_group,
            first_loss=self.first_loss or other.first_loss,
        )


class SimulatedUsers:
    """`internal` of the `count` users have an address of the internal domain; `listening` of them, all unless said,
    follow events. `tally` grows while they are active.
    """

    def __init__(
        self, url: str, *, count: int, requests_per_second: float, internal: int = 1, listening: int | None = None
    ) -> None:
        self.tally = Tally()
        self._url = url
        self._between_requests = count / requests_per_second
        self._listening = count if listening is None else listening
        self._users = [
            {"X-User": f"user-{number}", "X-Email": f"user-{number}@{_domain(number, internal)}"}
            for number in range(count)
        ]

    @asynccontextmanager
    async def active(self) -> "AsyncIterator[SimulatedUsers]":
        """Everybody asks and listens until the context ends; requests that have begun are waited for."""
        stop = asyncio.Event()
        async with ClientSession(connector=TCPConnector(limit=0), timeout=_LONGEST_ANSWER) as session:
            asking = [
                asyncio.create_task(self._ask(session, user, index, stop)) for index, user in enumerate(self._users)
            ]
            listening = [asyncio.create_task(self._listen(session, user)) for user in self._users[: self._listening]]
            try:
                yield self
            finally:
                stop.set()
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)
                await asyncio.gather(*asking)

    async def _ask(self, session: ClientSession, user: dict[str, str], index: int, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._between_requests * _spread(index)
        while not await _set_by(stop, due):
            await self._ask_once(session, user)
            # By the clock, however long the answer took; what would have been asked meanwhile is not made up for.
            due = max(due + self._between_requests, loop.time())

    async def _ask_once(self, session: ClientSession, user: dict[str, str]) -> None:
        try:
            async with session.get(f"{self._url}/work", headers=user) as answer:
                if answer.status in _NOT_SERVED:
                    self._lose(f"{answer.status} {await answer.text()}")
                    return
                body = await answer.json()
        except (ClientError, TimeoutError) as error:
            self._lose(repr(error))
            return
        self.tally.served += 1
        self.tally.failed += answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
        self.tally.by_revision[body["revision"]] += 1
        self.tally.by_group[body["group"]] += 1

    def _lose(self, what: str) -> None:
        self.tally.lost += 1
        self.tally.first_loss = self.tally.first_loss or what

    async def _listen(self, session: ClientSession, user: dict[str, str]) -> None:
        last: int | None = None
        while True:
            last = await self._listen_once(session, user, last)
            await asyncio.sleep(_BETWEEN_CONNECTIONS_SECONDS)
            self.tally.reconnections += 1

    async def _listen_once(self, session: ClientSession, user: dict[str, str], last: int | None) -> int | None:
        """Until the connection ends; the number of the last event that came, by this connection or one before it."""
        after = "" if last is None else f"?after={last}"
        try:
            async with session.ws_connect(f"{self._url}/events{after}", headers=user) as socket:
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        break
                    number: int = json.loads(message.data)["sequence"]
                    self.tally.events += 1
                    self.tally.events_lost += 0 if last is None else number - last - 1
                    last = number
        except (ClientError, TimeoutError):
            pass
        return last


def _domain(number: int, internal: int) -> str:
    return INTERNAL_DOMAIN if number < internal else "example.com"


def _spread(index: int) -> float:
    """From 0 to 1: users do not all ask at the same moment, and neighbours in number are no neighbours in time."""
    return (index + 1) * _GOLDEN_RATIO % 1.0


async def _set_by(event: asyncio.Event, due: float) -> bool:
    """Whether an event was set before a moment of the loop's clock."""
    try:
        async with asyncio.timeout_at(due):
            await event.wait()
    except TimeoutError:
        return False
    return True
