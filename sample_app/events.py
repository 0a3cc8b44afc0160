"""Events over a WebSocket, numbered so that every loss can be counted.

Event `n` happens at `n * INTERVAL_SECONDS` on the wall clock, the same in every process: whoever reconnects, to
whichever revision, names the last number received (`after`) and is sent what happened since.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import time

from sample_app.faults import NO_FAULTS
from sample_app.feature_flags import WEBSOCKET_ISOLATION, FeatureFlags
from sample_app.measurements import Measurements
from sample_app.requests import RequestPaths

INTERVAL_SECONDS = 0.25
LONGEST_REPLAY = 240
"""Events that are kept for a user who was away: a minute's worth."""

Send = Callable[[dict[str, object]], Awaitable[None]]


class EventStream:
    """Sends every event to each connected user, unless a fault has silenced them."""

    def __init__(self, flags: FeatureFlags, paths: RequestPaths, measurements: Measurements) -> None:
        self._flags = flags
        self._paths = paths
        self._measurements = measurements

    async def follow(self, user: str, email: str | None, after: int | None, send: Send) -> None:
        """Send events after number `after` (None: from now on) until cancelled or until `send` fails."""
        newest = _newest()
        last = newest if after is None else max(after, newest - LONGEST_REPLAY)
        while True:
            await asyncio.sleep(max(0.0, (last + 1) * INTERVAL_SECONDS - time()))
            for number in range(last + 1, _newest() + 1):
                last = number
                await self._deliver(number, user, email, send)

    async def _deliver(self, number: int, user: str, email: str | None, send: Send) -> None:
        treated = self._flags.is_on(WEBSOCKET_ISOLATION, user, email)
        faults = self._paths.faults if self._paths.faults.reach(treated=treated, email=email) else NO_FAULTS
        self._measurements.websocket.note(good=not faults.websocket_silence)
        if faults.websocket_silence:
            return
        await send({"sequence": number, "user": user})
        late = max(0.0, time() - number * INTERVAL_SECONDS)
        self._measurements.groups["treated" if treated else "control"].event_latencies.add(late * 1000)


def _newest() -> int:
    return int(time() / INTERVAL_SECONDS)
