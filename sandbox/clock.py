"""What time it is for the sandbox, as whole microseconds since the epoch (UTC).

Whoever starts the sandbox gives it a clock: the wall's, or that of a time-skipping Temporal server, whose hours pass
between two requests. Asking such a clock is a call over the network, so its latest answer is kept: whatever had
passed then has passed now.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from sandbox.wire_messages import Timestamp

Clock = Callable[[], Awaitable[datetime]]

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NANOS_PER_MICROSECOND = 1_000


async def utc_clock() -> datetime:
    return datetime.now(UTC)


def to_micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def timestamp(instant: int) -> Timestamp:
    return Timestamp(seconds=instant // SECOND, nanos=instant % SECOND * _NANOS_PER_MICROSECOND)


def micros_of(stamp: Timestamp) -> int:
    return stamp.seconds * SECOND + stamp.nanos // _NANOS_PER_MICROSECOND


class SandboxClock:
    """A clock that never goes back, whatever the one it reads does."""

    def __init__(self, read: Clock = utc_clock) -> None:
        self._read = read
        self._latest = 0

    async def now(self) -> int:
        self._latest = max(self._latest, to_micros(await self._read()))
        return self._latest

    async def now_or_after(self, instant: int) -> int:
        """A time that has been reached: the latest known one if it is not before `instant`, else a new reading."""
        return self._latest if self._latest >= instant else await self.now()
