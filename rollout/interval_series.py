"""A metric's closed intervals in order, with running sums: a window of any length is one subtraction.

Windows of a soak overlap almost wholly. Adding sixty histograms again every minute would be most of a look's work.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite

from rollout.measurement import Counts, Group, Histogram, IntervalMeasurement, Level, Sample, SourceFailure

# Intervals that have fallen out of every window are dropped this many at a time.
DROPPED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Sum:
    """What a group's samples add up to from its first interval on. Samples of unlike `form` cannot be added."""

    form: tuple[object, ...] = ()
    amounts: tuple[float, ...] = ()
    samples: int = 0
    unlike: int = 0
    """How often the form changed so far."""
    broken: int = 0
    """How many samples so far were no finite number."""


_NOTHING = _Sum()


@dataclass
class IntervalSeries:
    """Ascending by end. `extend` takes newer intervals only; late ones need a series made afresh."""

    measured: Sequence[IntervalMeasurement] = ()
    _ends: list[datetime] = field(default_factory=list, init=False)
    _intervals: dict[datetime, IntervalMeasurement] = field(default_factory=dict, init=False)
    # Per group one sum for the time before the first interval and one after each interval.
    _sums: dict[Group, list[_Sum]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.extend(self.measured)
        self.measured = ()

    def extend(self, newer: Iterable[IntervalMeasurement]) -> None:
        """Append intervals that end later than all known ones; an interval that is known already is left out."""
        for measurement in newer:
            if self._ends and measurement.end <= self._ends[-1]:
                continue
            self._ends.append(measurement.end)
            self._intervals[measurement.end] = measurement
            for group in measurement.groups.keys() - self._sums.keys():
                self._sums[group] = [_NOTHING] * len(self._ends)
            for group, sums in self._sums.items():
                sample = measurement.groups.get(group)
                sums.append(sums[-1] if sample is None else _add(sums[-1], sample))

    def forget_until(self, moment: datetime) -> None:
        """Drop intervals that end at or before `moment`; a few may be kept for longer."""
        passed = bisect_right(self._ends, moment)
        if passed < DROPPED_AT_ONCE:
            return
        for end in self._ends[:passed]:
            del self._intervals[end]
        del self._ends[:passed]
        for sums in self._sums.values():
            del sums[:passed]

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
        before = sums[bisect_right(self._ends, start)]
        after = sums[bisect_right(self._ends, end)]
        if after.samples == before.samples:
            return None
        first = self._first_sample(sums, before)
        if after.broken != before.broken:
            raise SourceFailure("the source answered a number that is not finite")
        if first.form != after.form or first.unlike != after.unlike:
            raise SourceFailure(f"{_named(first)} and {_named(after)} cannot be added: the metric changed its form")
        # The form may have changed at the window's very first sample; sums of another form count as none.
        base = before.amounts if before.form == after.form and before.unlike == after.unlike else ()
        return _difference(after, base)

    def __len__(self) -> int:
        return len(self._ends)

    @staticmethod
    def _first_sample(sums: list[_Sum], before: _Sum) -> _Sum:
        """The sum right after the first sample that follows `before`."""
        return sums[bisect_left(sums, before.samples + 1, key=lambda known: known.samples)]


def _add(known: _Sum, sample: Sample) -> _Sum:
    form, amounts = _taken_apart(sample)
    samples = known.samples + 1
    if not all(map(isfinite, amounts)):
        return _Sum(known.form, known.amounts, samples, known.unlike, known.broken + 1)
    if form != known.form:
        return _Sum(form, amounts, samples, known.unlike + 1, known.broken)
    added = tuple(a + b for a, b in zip(known.amounts, amounts, strict=True))
    return _Sum(form, added, samples, known.unlike, known.broken)


def _taken_apart(sample: Sample) -> tuple[tuple[object, ...], tuple[float, ...]]:
    """A sample as numbers that add up, and everything that must be alike for the addition to mean anything."""
    match sample:
        case Counts():
            return ("counts",), (sample.total, sample.bad)
        case Histogram():
            return ("histogram", sample.bounds), (*sample.counts, sample.sum)
        case Level():
            return ("level",), (sample.value * sample.samples, sample.samples)


def _difference(after: _Sum, base: tuple[float, ...]) -> Sample:
    amounts = tuple(a - b for a, b in zip(after.amounts, base, strict=True)) if base else after.amounts
    match after.form:
        case ("counts",):
            return Counts(total=int(amounts[0]), bad=int(amounts[1]))
        case ("histogram", tuple(bounds)):
            return Histogram(bounds=bounds, counts=tuple(map(int, amounts[:-1])), sum=amounts[-1])
        case _:
            return Level(value=amounts[0] / amounts[1], samples=int(amounts[1]))


def _named(known: _Sum) -> str:
    match known.form:
        case ("histogram", tuple(bounds)):
            return f"histograms of {len(bounds) + 1} buckets"
        case (str(kind), *_):
            return kind
        case _:
            return "nothing"
