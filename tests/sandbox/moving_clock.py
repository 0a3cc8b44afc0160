"""A clock that tests move, as a time-skipping server would: it stands still until it jumps."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


class MovingClock:
    def __init__(self) -> None:
        self.instant = START
        self.readings = 0

    async def __call__(self) -> datetime:
        self.readings += 1
        return self.instant

    def skip(self, **step: float) -> datetime:
        """Jump ahead by a `timedelta` of these parts; answers the new time."""
        self.instant += timedelta(**step)
        return self.instant
