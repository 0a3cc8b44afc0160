"""Users of a service, on the event loop: each asks again and again and follows events over a WebSocket.

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

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

INTERNAL_DOMAIN = "netrasystems.ai"
_BETWEEN_CONNECTIONS_SECONDS = 0.05
_LONGEST_ANSWER_SECONDS = 30.0
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


class SimulatedUsers:
    """`internal` of the `count` users have an address of the internal domain. `tally` grows while they are active."""

    def __init__(self, url: str, *, count: int, requests_per_second: float, internal: int = 1) -> None:
        self.tally = Tally()
        self._url = url
        self._pause = count / requests_per_second
        self._users = [
            {"X-User": f"user-{number}", "X-Email": f"user-{number}@{_domain(number, internal)}"}
            for number in range(count)
        ]

    @asynccontextmanager
    async def active(self) -> "AsyncIterator[SimulatedUsers]":
        """Everybody asks and listens until the context ends; requests that have begun are waited for."""
        stop = asyncio.Event()
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(limits=limits, timeout=_LONGEST_ANSWER_SECONDS) as client:
            asking = [
                asyncio.create_task(self._ask(client, user, index, stop)) for index, user in enumerate(self._users)
            ]
            listening = [asyncio.create_task(self._listen(user)) for user in self._users]
            try:
                yield self
            finally:
                stop.set()
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)
                await asyncio.gather(*asking)

    async def _ask(self, client: httpx.AsyncClient, user: dict[str, str], index: int, stop: asyncio.Event) -> None:
        pause = self._pause * (index + 1) / len(self._users)  # so that they do not all ask at the same moment
        while not await _set_within(stop, pause):
            pause = self._pause
            try:
                answer = await client.get(f"{self._url}/work", headers=user)
            except httpx.TransportError as error:
                self._lose(repr(error))
                continue
            if answer.status_code in _NOT_SERVED:
                self._lose(f"{answer.status_code} {answer.text}")
                continue
            self.tally.served += 1
            self.tally.failed += answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
            self.tally.by_revision[answer.json()["revision"]] += 1
            self.tally.by_group[answer.json()["group"]] += 1

    def _lose(self, what: str) -> None:
        self.tally.lost += 1
        self.tally.first_loss = self.tally.first_loss or what

    async def _listen(self, user: dict[str, str]) -> None:
        last: int | None = None
        address = f"ws{self._url.removeprefix('http')}/events"
        while True:
            after = "" if last is None else f"?after={last}"
            try:
                async with connect(f"{address}{after}", additional_headers=user, proxy=None) as socket:
                    async for message in socket:
                        number: int = json.loads(message)["sequence"]
                        self.tally.events += 1
                        self.tally.events_lost += 0 if last is None else number - last - 1
                        last = number
            except (ConnectionClosed, InvalidHandshake, OSError):
                await asyncio.sleep(_BETWEEN_CONNECTIONS_SECONDS)
            self.tally.reconnections += 1


def _domain(number: int, internal: int) -> str:
    return INTERNAL_DOMAIN if number < internal else "example.com"


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
