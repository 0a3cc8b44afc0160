"""When promotion is allowed: weekly hours in a time zone, less the days of a freeze. Going back is never bound by it.

Pure: which offset a time zone has at which time is an outside fact, so the caller brings the zone.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from rollout.plan_parts import Part

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
HOURS_PATTERN = r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$"
DAY_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)


def _written_day(written: object) -> object:
    if isinstance(written, date) or (isinstance(written, str) and re.match(DAY_PATTERN, written)):
        return written
    raise ValueError("a day is written 2026-12-24")


Day = Annotated[date, BeforeValidator(_written_day)]


class Freeze(Part):
    """Days without any promotion, from the first midnight to the last, in the windows' time zone."""

    first: Day = Field(description="the first day, such as 2026-12-21")
    last: Day = Field(description="the last day, such as 2027-01-03")
    why: str = Field(min_length=1, description="what people read while a rollout waits for its end")

    @model_validator(mode="after")
    def _in_order(self) -> "Freeze":
        if self.last < self.first:
            raise ValueError(f"the last day ({self.last}) is not before the first ({self.first})")
        return self


class Windows(Part):
    """A stage, and each of its traffic steps, begins only inside a window. What soaks goes on soaking outside of it."""

    time_zone: str = Field(min_length=1, description="such as Europe/Berlin or UTC")
    weekdays: tuple[Weekday, ...] = Field(default=WEEKDAYS, min_length=1, description="the days windows begin on")
    hours: str = Field(
        default="00:00-24:00",
        pattern=HOURS_PATTERN,
        description="from when to when, such as 09:00-16:00; 22:00-04:00 runs into the next day",
    )
    freezes: tuple[Freeze, ...] = Field(default=(), description="days without promotion")

    @field_validator("hours")
    @classmethod
    def _some_hours(cls, hours: str) -> str:
        begins, _, ends = hours.partition("-")
        if begins == ends:
            raise ValueError("hours that begin and end alike are none; all day is 00:00-24:00")
        return hours

    @property
    def begins(self) -> timedelta:
        """After the midnight of a window's day."""
        return _after_midnight(self.hours.partition("-")[0])

    @property
    def ends(self) -> timedelta:
        """After the same midnight; beyond 24 hours where the window runs into the next day."""
        ends = _after_midnight(self.hours.partition("-")[2])
        return ends if ends > self.begins else ends + _DAY

    def why_closed(self, at: datetime, zone: tzinfo) -> str | None:
        """Why nothing is promoted at `at` (aware), as a sentence; None where it may be."""
        local = at.astimezone(zone).replace(tzinfo=None)
        for freeze in self.freezes:
            if freeze.first <= local.date() <= freeze.last:
                return f"frozen until the end of {freeze.last}: {freeze.why}"
        if any(self._covers(local, midnight) for midnight in (_midnight(local), _midnight(local) - _DAY)):
            return None
        days = "every day" if self.weekdays == WEEKDAYS else ", ".join(self.weekdays)
        return f"the window for promotion is {self.hours}, {days} ({self.time_zone})"

    def next_opening(self, after: datetime, zone: tzinfo) -> datetime:
        """The first time from `after` (aware) on at which promotion is allowed, in UTC."""
        if self.why_closed(after, zone) is None:
            return after.astimezone(UTC)
        return next(opening for opening in self._openings(after, zone) if self.why_closed(opening, zone) is None)

    def _covers(self, local: datetime, midnight: datetime) -> bool:
        opens = midnight + self.begins <= local < midnight + self.ends
        return opens and WEEKDAYS[midnight.weekday()] in self.weekdays

    def _openings(self, after: datetime, zone: tzinfo) -> Iterator[datetime]:
        """Times at which a window or the day after a freeze begins, up to two weeks past every freeze."""
        midnight = _midnight(after.astimezone(zone).replace(tzinfo=None))
        last = max([midnight, *(datetime.combine(freeze.last, time()) for freeze in self.freezes)]) + 2 * _WEEK
        while midnight <= last:
            for local in (midnight, midnight + self.begins):
                opening = local.replace(tzinfo=zone).astimezone(UTC)
                if opening > after:
                    yield opening
            midnight += _DAY


def _after_midnight(written: str) -> timedelta:
    hours, minutes = written.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def _midnight(local: datetime) -> datetime:
    return datetime.combine(local.date(), time())
