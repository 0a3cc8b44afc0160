"""What one window says of a gate: the value, whether it keeps its limit, and both in words for people."""

from typing import NamedTuple

from rollout.gates import QUANTILES, MeasuredGate, Statistic, ThresholdGate, VersusBaselineGate, VersusControlGate
from rollout.interval_estimates import newcombe, quantile_bounds, wilson
from rollout.measurement import Counts, Histogram, Level, Sample
from rollout.quantity import Limit

SHARE_DIGITS, NUMBER_DIGITS = 6, 4
SHOWN_Z = 2.5758
"""For people: the 99 % interval around a difference of shares."""


class Reading(NamedTuple):
    """`kept`: the value is within its limit. `broken`: it is beyond the limit beyond chance (99.9 % interval)."""

    value: str
    words: str
    kept: bool
    broken: bool


def size_of(sample: Sample | None) -> int:
    """How many observations a sample stands for; 0 for none."""
    match sample:
        case None:
            return 0
        case Counts() | Histogram():
            return sample.total
        case Level():
            return sample.samples


def fits(statistic: Statistic, sample: Sample) -> bool:
    """Whether the statistic can be taken from this kind of sample."""
    match sample:
        case Counts():
            return statistic in ("bad_share", "good_share")
        case Histogram():
            return statistic in QUANTILES or statistic == "mean"
        case Level():
            return statistic == "level"


def read(gate: MeasuredGate, sample: Sample, reference: Sample | None) -> Reading:
    """What the window says. Both samples fit the gate's statistic and are not empty; a threshold has no reference."""
    if isinstance(gate, ThresholdGate):
        found, sizes = _against_limit(gate, sample), f"{size_of(sample):,}"
    else:
        assert reference is not None, "a comparison has something to compare with"  # noqa: S101
        found = _against_reference(gate, sample, reference)
        sizes = f"{size_of(sample):,} and {size_of(reference):,}"
    return found._replace(words=f"{found.words}, limit {gate.limit_in_words}; {sizes} observations")


def shown(statistic: Statistic, sample: Sample) -> str:
    """The value alone, for people."""
    value = _estimate(statistic, sample)[0]
    if statistic in ("bad_share", "good_share"):
        return f"{value * 100:.4g}%"
    return f"{value:.4g}"


def _estimate(statistic: Statistic, sample: Sample) -> tuple[float, float, float]:
    """Value, lower and upper bound. Means and levels carry no error estimate: their bounds are the value itself."""
    match sample:
        case Counts():
            low, high = wilson(sample.bad, sample.total)
            share = sample.bad / sample.total
            return (1 - share, 1 - high, 1 - low) if statistic == "good_share" else (share, low, high)
        case Histogram() if statistic in QUANTILES:
            return sample.quantile(QUANTILES[statistic]), *quantile_bounds(sample, QUANTILES[statistic])
        case Histogram():
            mean = sample.sum / sample.total
            return mean, mean, mean
        case Level():
            return sample.value, sample.value, sample.value


def _against_limit(gate: ThresholdGate, sample: Sample) -> Reading:
    value, low, high = _estimate(gate.statistic, sample)
    limit = gate.limit.value
    # Six digits of a share, so that one violation in 100,000 does not read as 100 %.
    digits = SHARE_DIGITS if gate.limit.unit == "share" else NUMBER_DIGITS
    text = str(Limit(value=float(f"{value:.{digits}g}"), unit=gate.limit.unit))
    if gate.at_least is not None:
        kept, broken = value >= limit, high < limit
    elif gate.below is not None:
        kept, broken = value < limit, low >= limit
    else:
        kept, broken = value <= limit, low > limit
    return Reading(text, text, kept, broken)


def _against_reference(gate: VersusControlGate | VersusBaselineGate, sample: Sample, reference: Sample) -> Reading:
    against = "control" if isinstance(gate, VersusControlGate) else "the baseline"
    value, low, high = _estimate(gate.statistic, sample)
    other, other_low, other_high = _estimate(gate.statistic, reference)
    if isinstance(sample, Counts) and isinstance(reference, Counts) and gate.max_difference is not None:
        difference = value - other
        bounds = newcombe(sample.bad, sample.total, reference.bad, reference.total, SHOWN_Z)
        text = f"{difference * 100:+z.2f} points"
        words = (
            f"{value * 100:.2f} % against {other * 100:.2f} % in {against}: {text}, "
            f"99 % interval {bounds[0] * 100:+.2f} to {bounds[1] * 100:+.2f}"
        )
        return Reading(text, words, difference <= gate.max_difference, bounds[0] > gate.max_difference)
    if other <= 0 or other_high <= 0:
        words = f"{value:.4g} against {other:.4g} in {against}: no ratio to a zero"
        return Reading(f"{value:.4g}", words, kept=value <= 0, broken=False)
    increase, lowest = value / other - 1, low / other_high - 1
    highest = high / other_low - 1 if other_low > 0 else float("inf")
    # z: what rounds to nothing is no decrease, `+0.0%` and not `-0.0%`.
    text = f"{increase * 100:+z.1f}%"
    interval = f"interval {lowest * 100:+z.1f}% to {highest * 100:+z.1f}%"
    words = f"{value:.4g} against {other:.4g} in {against}: {text}, {interval}"
    limit = gate.max_increase or 0.0
    return Reading(text, words, increase <= limit, lowest > limit)
