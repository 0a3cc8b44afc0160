"""Treated users who are silent where they should be heard: for a while that is nobody's fault, then a person is asked.

A gate without anybody to judge is IDLE: no credit, no notice. That is right at night, and wrong where others go on
using what the gate measures, or where treated users are busy elsewhere: events that stop for them alone must not make a
rollout wait for ever. How many observations are missing is estimated from what others had meanwhile, and from what
treated users had before; few are no reason to ask, for users come and go in sessions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rollout.measurement import Group, Level, Sample
from rollout.moments import time_of_day
from rollout.stored_state import STORED
from rollout.window_reading import size_of

MISSING_ENOUGH = 200
"""Observations that should have been there: ten sessions of twenty, which stay away by chance once in 20,000 times."""
LONGER_THAN_USUAL, LONGEST_USUAL = 2, timedelta(hours=2)
"""A silence is worth a question when it is so many times the longest that ended by itself in this soak, of which so
much counts."""
LARGEST_SHARE = 0.9
"""Of the treated, as far as it is believed: requests without a user are nobody's, also when everybody is treated."""
LONGEST_IDLE = timedelta(days=3)
"""Whatever was to be expected: a weekend is over by then, and a person should know why the rollout stands still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Observations in one interval, by whether they are treated users'."""

    treated: int = 0
    others: int = 0

    def plus(self, other: "Traffic") -> "Traffic":
        return Traffic(treated=self.treated + other.treated, others=self.others + other.others)


def traffic_of(groups: Mapping[Group, Sample]) -> Traffic | None:
    """What an interval's groups hold; None for levels, which are read and not counted and tell of nobody's traffic."""
    treated, control, everybody = (groups.get(group) for group in ("treated", "control", "all"))
    if any(isinstance(sample, Level) for sample in (treated, control, everybody)):
        return None
    others = size_of(control) if control is not None else max(0, size_of(everybody) - size_of(treated))
    return Traffic(treated=size_of(treated), others=others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether treated users were heard at one gate of a soak, and if not, since when.

    `heard` and `meanwhile` are their observations here, and elsewhere in the same intervals, before this silence.
    """

    __pydantic_config__ = STORED

    heard: int = 0
    meanwhile: int = 0
    longest: timedelta = timedelta()
    since: datetime | None = None
    lasted: timedelta = timedelta()
    """How much of the silence had anybody at all."""
    others: int = 0
    treated_elsewhere: int = 0
    others_elsewhere: int = 0

    def after(self, here: Traffic, elsewhere: Traffic, end: datetime, interval: timedelta) -> "Presence":
        """With one more interval, in order; one in which nobody did anything tells nothing."""
        if here.treated:
            return Presence(
                heard=self.heard + here.treated,
                meanwhile=self.meanwhile + elsewhere.treated + self.treated_elsewhere,
                longest=max(self.longest, self.lasted),
            )
        if not here.others and not elsewhere.treated:
            return self
        return replace(
            self,
            since=self.since or end - interval,
            lasted=self.lasted + interval,
            others=self.others + here.others,
            treated_elsewhere=self.treated_elsewhere + elsewhere.treated,
            others_elsewhere=self.others_elsewhere + elsewhere.others,
        )

    def missing(self, share: float | None) -> float:
        """How many observations of treated users were to be expected; `share` of the users is treated, if known."""
        odds = [self.treated_elsewhere / self.others_elsewhere] if self.others_elsewhere else []
        if share is not None:
            odds.append(min(share, LARGEST_SHARE) / (1 - min(share, LARGEST_SHARE)))
        before = self.treated_elsewhere * self.heard / self.meanwhile if self.meanwhile else 0.0
        return max(self.others * max(odds, default=0.0), before)

    def is_telling(self, share: float | None) -> bool:
        """Whether a person should ask where the treated users are."""
        usual = LONGER_THAN_USUAL * min(self.longest, LONGEST_USUAL)
        return self.lasted >= LONGEST_IDLE or (self.missing(share) >= MISSING_ENOUGH and self.lasted > usual)

    def in_words(self, read_at: datetime) -> str:
        since = time_of_day(self.since or read_at, read_at)
        if self.others:
            said = f"control had {self.others:,}, treated none since {since}"
        else:
            said = f"nobody had any since {since}"
        return f"{said}, with {self.treated_elsewhere:,} of treated users elsewhere" if self.treated_elsewhere else said
