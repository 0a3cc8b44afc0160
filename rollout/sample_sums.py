"""Samples that add up: counts and buckets by themselves, levels by how many points each of them stands for."""

from collections.abc import Iterable
from functools import reduce
from itertools import accumulate, pairwise
from math import isfinite
from operator import add, sub
from typing import NamedTuple

from rollout.measurement import Counts, Histogram, Level, Sample, UnfitAnswer


class RunningSum(NamedTuple):
    """What a group's samples add up to so far. Samples of unlike `form` cannot be added."""

    form: tuple[object, ...] = ()
    amounts: tuple[float, ...] = ()
    samples: int = 0
    unlike: int = 0
    """How often the form changed so far."""
    broken: int = 0
    """How many samples so far were no finite number."""

    def plus(self, sample: Sample) -> "RunningSum":
        form, amounts = _taken_apart(sample)
        samples = self.samples + 1
        if not all(map(isfinite, amounts)):
            return RunningSum(self.form, self.amounts, samples, self.unlike, self.broken + 1)
        if form != self.form:
            return RunningSum(form, amounts, samples, self.unlike + 1, self.broken)
        return RunningSum(form, tuple(map(add, self.amounts, amounts)), samples, self.unlike, self.broken)

    def is_like(self, earlier: "RunningSum") -> bool:
        """Whether the form is the one that it was then, and never was another in between."""
        return self.unlike == earlier.unlike and self.form == earlier.form


NOTHING = RunningSum()


def merge(samples: Iterable[Sample]) -> Sample | None:
    """The sum of samples of one kind; None where there are none.

    Raises:
        UnfitAnswer: kinds or bucket edges differ, or a number is not finite; such data cannot be judged.
    """
    given = list(samples)
    if not given:
        return None
    return between(NOTHING, NOTHING.plus(given[0]), reduce(RunningSum.plus, given, NOTHING))


def times(sample: Sample, factor: float) -> Sample:
    """As much of the same: what a longer time, or a part of the users, would have brought about."""
    match sample:
        case Counts(total=total, bad=bad):
            return Counts(total=round(total * factor), bad=round(bad * factor))
        case Histogram():
            # Rounded as they add up: a few observations in as many buckets would each round to none.
            reached = [round(upto * factor) for upto in accumulate(sample.counts, initial=0)]
            counts = tuple(upto - before for before, upto in pairwise(reached))
            return Histogram(bounds=sample.bounds, counts=counts, sum=sample.sum * factor)
        case Level():
            return Level(value=sample.value, samples=max(1, round(sample.samples * factor)))


def between(before: RunningSum, first: RunningSum, after: RunningSum) -> Sample:
    """The sum of what came after `before` up to `after`, at least one sample; `first` is the sum right after that one.

    Raises:
        UnfitAnswer: kinds or bucket edges changed in between, or a number is not finite.
    """
    if after.broken != before.broken:
        raise UnfitAnswer("the source answered a number that is not finite")
    if first.form != after.form or first.unlike != after.unlike:
        raise UnfitAnswer(f"{_named(first)} and {_named(after)} cannot be added: the metric changed its form")
    # The form may have changed at the very first sample; sums of another form count as none.
    base = before.amounts if after.is_like(before) else ()
    return _difference(after, base)


def _taken_apart(sample: Sample) -> tuple[tuple[object, ...], tuple[float, ...]]:
    """A sample as numbers that add up, and everything that must be alike for the addition to mean anything."""
    match sample:
        case Counts():
            return ("counts",), (sample.total, sample.bad)
        case Histogram():
            return ("histogram", sample.bounds), (*sample.counts, sample.sum)
        case Level():
            return ("level",), (sample.value * sample.samples, sample.samples)


def _difference(after: RunningSum, base: tuple[float, ...]) -> Sample:
    amounts = tuple(map(sub, after.amounts, base)) if base else after.amounts
    match after.form:
        case ("counts",):
            return Counts(total=int(amounts[0]), bad=int(amounts[1]))
        case ("histogram", tuple(bounds)):
            return Histogram(bounds=bounds, counts=tuple(map(int, amounts[:-1])), sum=amounts[-1])
        case _:
            return Level(value=amounts[0] / amounts[1], samples=int(amounts[1]))


def _named(known: RunningSum) -> str:
    match known.form:
        case ("histogram", tuple(bounds)):
            return f"histograms of {len(bounds) + 1} buckets"
        case (str(kind), *_):
            return kind
        case _:
            return "nothing"
