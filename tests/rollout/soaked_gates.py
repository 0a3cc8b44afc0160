"""Gates of a plan, minutes that they judge, and what they make of these in a soak that began at noon."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter

from rollout.gates import Gate, MeasuredGate
from rollout.interval_judgement import Answers, judge_interval
from rollout.interval_series import IntervalSeries
from rollout.measurement import Group, Histogram, IntervalMeasurement, Sample
from rollout.soak import begin
from rollout.soak_evidence import SoakEvidence, of_soak
from rollout.verdict import Judgement, Verdict
from rollout.watch import BoundGate
from tests.rollout.samples import MINUTE, NOON, counts, latencies

ADAPTER: TypeAdapter[Gate] = TypeAdapter(Gate)
SOAK = begin(NOON, MINUTE)
Minute = dict[Group, Sample]


def gate(**fields: Any) -> MeasuredGate:
    common = {"title": "Errors", "metric": "m", "window": "10m", "minimum_sample": 100, "group": "treated"}
    built = ADAPTER.validate_python({"action": "rollback", "page_after": "30m", **common, **fields})
    assert isinstance(built, MeasuredGate)
    return built


ERRORS = gate(kind="versus_control", statistic="bad_share", max_difference="1%")
P95 = gate(kind="versus_control", statistic="p95", max_increase="10%")
ISOLATION = gate(kind="threshold", statistic="good_share", at_least="99.5%")
WITHOUT_A_VIOLATION = gate(kind="threshold", statistic="good_share", at_least="100%")
HELD_ERRORS = gate(kind="threshold", statistic="bad_share", at_most="1%", action="hold")
EVENTS = gate(kind="threshold", statistic="p95", at_most="100ms", action="hold")
SCORE = gate(kind="threshold", statistic="level", at_least="99.5%", minimum_sample=1)
ERRORS_BEFORE = gate(kind="versus_baseline", statistic="bad_share", group="all", max_difference="0.1%")
P95_BEFORE = gate(kind="versus_baseline", statistic="p95", group="all", max_increase="5%")


def treated(sample: Sample) -> Minute:
    return {"treated": sample}


def control(sample: Sample) -> Minute:
    return {"control": sample}


def healthy(bad: int = 4) -> Minute:
    """A minute of 200 requests a second, a tenth of them treated, 0.3 % errors in control."""
    return {"treated": counts(1_200, bad), "control": counts(10_800, 36), "all": counts(12_000, 36 + bad)}


UNEVEN = [healthy(bad=number % 9) for number in range(120)]


def answered(minutes: Iterable[Minute | None], *, at: datetime) -> Answers:
    """What the source says of these minutes; None is a minute without data."""
    measured = [
        IntervalMeasurement(end=NOON + number * MINUTE, groups=groups)
        for number, groups in enumerate(minutes, start=1)
        if groups is not None
    ]
    return Answers(at, {"m": IntervalSeries(measured)})


def soaked(
    asked: Gate, minutes: Iterable[Minute | None], baseline: Sample | None = None
) -> tuple[SoakEvidence, list[Judgement]]:
    """One judgement per minute; None is a minute without data."""
    found = list(minutes)
    answers = answered(found, at=NOON + (len(found) + 2) * MINUTE)
    evidence, judgements = of_soak(None, SOAK.since, ["g"]), []
    for number in range(1, len(found) + 1):
        bound = {"g": BoundGate(gate=asked, baseline=baseline)}
        judged, evidence = judge_interval(bound, answers, NOON + number * MINUTE, SOAK, evidence)
        judgements.append(judged["g"])
    return evidence, judgements


def verdicts(asked: Gate, minutes: Iterable[Minute | None], baseline: Sample | None = None) -> list[Verdict]:
    return [judgement.verdict for judgement in soaked(asked, minutes, baseline)[1]]


def timings(treated_ms: float, control_ms: float = 50.0) -> Iterator[Minute]:
    while True:
        yield {"treated": latencies(1_200, treated_ms), "control": latencies(10_800, control_ms)}


def merged(sample: Histogram, kept: slice) -> Histogram:
    """The same observations at fewer edges, those that `kept` leaves."""
    bounds = sample.bounds[kept]
    below = [sum(sample.counts[: sample.bounds.index(bound) + 1]) for bound in bounds]
    counted = tuple(high - low for low, high in pairwise([0, *below, sample.total]))
    return Histogram(bounds=bounds, counts=counted, sum=sample.sum)


def first(minutes: Iterator[Minute], count: int) -> list[Minute]:
    return [next(minutes) for _ in range(count)]
