"""A metric's closed intervals in order, with running sums: a window of any length is one subtraction.

Windows of a soak overlap almost wholly. Adding sixty histograms again every minute would be most of a look's work.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rollout.measurement import Group, IntervalMeasurement, Sample
from rollout.sample_sums import NOTHING, RunningSum, between

# Intervals that have fallen out of every window are dropped this many at a time.
DROPPED_AT_ONCE = 32


@dataclass
class IntervalSeries:
    """Ascending by end. `extend` takes newer intervals only; late ones need a series made afresh.

    Times are kept in UTC: those of unlike time zones, as they come from JSON, take ten times as long to compare.
    """

    measured: Sequence[IntervalMeasurement] = ()
    _ends: list[datetime] = field(default_factory=list, init=False)
    _intervals: dict[datetime, IntervalMeasurement] = field(default_factory=dict, init=False)
    # Per group one sum for the time before the first interval and one after each interval.
    _sums: dict[Group, list[RunningSum]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.extend(self.measured)
        self.measured = ()

    def extend(self, newer: Iterable[IntervalMeasurement]) -> None:
        """Append intervals that end later than all known ones; an interval that is known already is left out."""
        for measurement in newer:
            end = measurement.end.astimezone(UTC)
            if self._ends and end <= self._ends[-1]:
                continue
            self._ends.append(end)
            self._intervals[end] = measurement
            for group in measurement.groups.keys() - self._sums.keys():
                self._sums[group] = [NOTHING] * len(self._ends)
            for group, sums in self._sums.items():
                sample = measurement.groups.get(group)
                sums.append(sums[-1] if sample is None else sums[-1].plus(sample))

    def after(self, moment: datetime) -> "IntervalSeries":
        """Without the intervals that end at or before `moment`; the same series where these are few.

        Another one, as whoever was given this one may still be about to read it.
        """
        passed = bisect_right(self._ends, moment.astimezone(UTC))
        if passed < DROPPED_AT_ONCE:
            return self
        later = IntervalSeries()
        later._ends = self._ends[passed:]
        later._intervals = {end: self._intervals[end] for end in later._ends}
        later._sums = {group: sums[passed:] for group, sums in self._sums.items()}
        return later

    def at(self, end: datetime) -> IntervalMeasurement | None:
        """The interval that ends at `end`, where there are data for it."""
        return self._intervals.get(end)

    def window(self, start: datetime, end: datetime, group: Group) -> Sample | None:
        """One group's sum over the intervals that end within `(start, end]`; None where the group has no sample.

        Counts and buckets add up, levels average by their sample counts.

        Raises:
            SourceFailure: kinds or bucket edges changed inside the window, or a number is not finite.
        """
        sums = self._sums.get(group)
        if sums is None:
            return None
        before = sums[bisect_right(self._ends, start.astimezone(UTC))]
        after = sums[bisect_right(self._ends, end.astimezone(UTC))]
        if after.samples == before.samples:
            return None
        first = after if after.is_like(before) else self._first_sample(sums, before)
        return between(before, first, after)

    def __len__(self) -> int:
        return len(self._ends)

    @staticmethod
    def _first_sample(sums: list[RunningSum], before: RunningSum) -> RunningSum:
        """The sum right after the first sample that follows `before`."""
        return sums[bisect_left(sums, before.samples + 1, key=lambda known: known.samples)]
