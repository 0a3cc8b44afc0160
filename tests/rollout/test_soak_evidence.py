"""A plan's gates over a soak: evidence decides, people read the window, and neither depends on who looks when."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from pydantic import TypeAdapter

from rollout.gates import Gate, MeasuredGate
from rollout.interval_judgement import Answers, judge_interval
from rollout.interval_series import IntervalSeries
from rollout.measurement import Group, Histogram, IntervalMeasurement, Level, Sample
from rollout.soak import begin
from rollout.soak_evidence import SoakEvidence, of_soak
from rollout.verdict import Judgement, Lack, Verdict
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


def soaked(
    asked: Gate,
    minutes: Iterable[Minute | None],
    baseline: Sample | None = None,
    evidence: SoakEvidence | None = None,
) -> tuple[SoakEvidence, list[Judgement]]:
    """One judgement per minute; None is a minute without data."""
    found = list(minutes)
    measured = [
        IntervalMeasurement(end=NOON + number * MINUTE, groups=groups)
        for number, groups in enumerate(found, start=1)
        if groups is not None
    ]
    answers = Answers(NOON + (len(found) + 2) * MINUTE, {"m": IntervalSeries(measured)})
    evidence, judgements = of_soak(evidence, SOAK.since, ["g"]), []
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


class TestVersusControl:
    def test_a_difference_beyond_the_limit_fails_within_minutes_and_says_why(self) -> None:
        _, judged = soaked(ERRORS, [healthy()] * 60 + [healthy(bad=50)] * 10)

        failed = next(number for number, judgement in enumerate(judged) if judgement.verdict is Verdict.FAIL)
        assert {judgement.verdict for judgement in judged[:60]} == {Verdict.PASS}
        assert failed - 60 < 8
        assert judged[-1].reason == (
            "Errors: 4.17 % against 0.33 % in control: +3.83 points, 99 % interval +3.39 to +4.33, limit ≤ +1 points; "
            "12,000 and 108,000 observations; harm is proven (198,778 to 1), and beyond what is tolerated "
            "(more than 1,000,000 to 1); data until 13:10, 2 min old"
        )

    def test_a_small_difference_that_is_certain_is_suspect_and_does_not_fail(self) -> None:
        found = verdicts(ERRORS, [healthy(bad=8)] * 600)

        assert found[-1] is Verdict.SUSPECT
        assert Verdict.FAIL not in found

    def test_a_single_bad_minute_of_a_small_group_convicts_nobody(self) -> None:
        small: Minute = {"treated": counts(100, 8), "control": counts(900, 3)}
        usual: Minute = {"treated": counts(100), "control": counts(900, 3)}

        assert set(verdicts(ERRORS, [*[usual] * 30, small, *[usual] * 30])) == {Verdict.PASS}

    def test_what_passes_beyond_doubt_is_conclusive_and_not_before(self) -> None:
        _, judged = soaked(ERRORS, [healthy()] * 60)

        assert [judgement.conclusive for judgement in judged[:29]] == [False] * 29
        assert judged[-1].conclusive

    def test_a_slower_p95_fails_although_buckets_are_wider_than_the_limit(self) -> None:
        assert verdicts(P95, first(timings(65.0), 60))[-1] is Verdict.FAIL
        assert verdicts(P95, first(timings(50.0), 60))[-1] is Verdict.PASS

    def test_a_minute_without_control_is_unknown_and_does_not_count(self) -> None:
        _, judged = soaked(ERRORS, [healthy(), treated(counts(1_200, 600))])

        assert (judged[-1].verdict, judged[-1].lack) == (Verdict.UNKNOWN, Lack.DATA)


class TestThresholds:
    def test_a_share_beyond_its_limit_fails(self) -> None:
        assert verdicts(ISOLATION, [treated(counts(1_000, 30))] * 10)[-1] is Verdict.FAIL
        assert set(verdicts(ISOLATION, [treated(counts(1_000, 4))] * 60)) == {Verdict.PASS}

    def test_the_first_violation_of_a_hundred_percent_fails(self) -> None:
        _, judged = soaked(WITHOUT_A_VIOLATION, [treated(counts(9_000))] * 5 + [treated(counts(9_000, 1))])

        assert [judgement.verdict for judgement in judged] == [Verdict.PASS] * 5 + [Verdict.FAIL]
        assert "1 at 12:06, none is tolerated" in judged[-1].reason

    def test_a_failure_that_only_holds_ends_when_its_window_is_well_again(self) -> None:
        minutes: list[Minute] = [treated(counts(1_000, 100))] * 20 + [treated(counts(1_000))] * 15

        found = verdicts(HELD_ERRORS, minutes)

        assert found[19] is Verdict.FAIL
        assert found[-1] is Verdict.PASS

    def test_a_failure_that_rolls_back_stays_one(self) -> None:
        minutes: list[Minute] = [treated(counts(1_000, 100))] * 20 + [treated(counts(1_000))] * 60

        assert verdicts(ISOLATION, minutes)[-1] is Verdict.FAIL

    def test_a_quantile_is_counted_at_the_first_edge_not_below_its_limit(self) -> None:
        slow, quick = [treated(latencies(1_000, 60.0))], [treated(latencies(1_000, 20.0))]

        assert verdicts(EVENTS, slow * 30)[-1] is Verdict.FAIL
        assert verdicts(EVENTS, quick * 30)[-1] is Verdict.PASS

    def test_a_quantile_just_beyond_a_limit_inside_a_bucket_neither_passes_nor_fails(self) -> None:
        edges_80_and_113: Minute = {"treated": Histogram(bounds=(80.0, 113.0), counts=(9_000, 600, 400), sum=1.0)}

        _, judged = soaked(EVENTS, [edges_80_and_113] * 5)

        assert judged[-1].verdict is Verdict.UNKNOWN
        assert "the limit lies inside a bucket" in judged[-1].reason

    def test_a_limit_above_every_bucket_is_an_error_not_a_pass(self) -> None:
        _, judged = soaked(EVENTS, [{"treated": Histogram(bounds=(10.0, 50.0), counts=(9, 9, 9_000), sum=1.0)}])

        assert judged[-1].verdict is Verdict.ERROR
        assert "above the last bucket edge, 50" in judged[-1].reason

    def test_a_score_that_stays_too_low_fails_and_one_that_is_high_enough_passes(self) -> None:
        assert verdicts(SCORE, [treated(Level(value=0.95))] * 60)[-1] is Verdict.FAIL
        assert set(verdicts(SCORE, [treated(Level(value=0.999))] * 60)) == {Verdict.PASS}

    @pytest.mark.parametrize("value", [float("nan"), 1.5, -0.1])
    def test_a_score_that_is_none_is_an_error(self, value: float) -> None:
        assert verdicts(SCORE, [treated(Level(value=value))]) == [Verdict.ERROR]


class TestVersusBaseline:
    def test_more_errors_than_before_fail_and_as_many_do_not(self) -> None:
        before = counts(1_000_000, 3_000)

        assert verdicts(ERRORS_BEFORE, [{"all": counts(12_000, 72)}] * 60, before)[-1] is Verdict.FAIL
        assert set(verdicts(ERRORS_BEFORE, [{"all": counts(12_000, 36)}] * 60, before)) == {Verdict.PASS}

    @pytest.mark.parametrize(("median_ms", "verdict"), [(50.0, "PASS"), (51.0, "PASS"), (55.0, "FAIL"), (70.0, "FAIL")])
    def test_a_p95_is_counted_against_the_baselines_own_curve(self, median_ms: float, verdict: str) -> None:
        before = latencies(1_000_000, 50.0)

        assert verdicts(P95_BEFORE, [{"all": latencies(12_000, median_ms)}] * 60, before)[-1] == verdict

    def test_without_a_baseline_nothing_passes(self) -> None:
        _, judged = soaked(ERRORS_BEFORE, [{"all": counts(12_000)}])

        assert (judged[-1].verdict, judged[-1].lack) == (Verdict.UNKNOWN, Lack.DATA)

    def test_buckets_that_are_not_the_baselines_are_an_error(self) -> None:
        other = Histogram(bounds=(1.0, 2.0, 3.0), counts=(0, 0, 0, 9_000), sum=1.0)

        _, judged = soaked(P95_BEFORE, [{"all": other}], latencies(1_000_000, 50.0))

        assert judged[-1].verdict is Verdict.ERROR
        assert "not those of the baseline" in judged[-1].reason


class TestNobodyAndNothing:
    def test_silence_is_unknown_and_a_healthy_source_without_treated_users_is_idle(self) -> None:
        _, judged = soaked(ERRORS, [healthy(), None, control(counts(900))])

        assert [judgement.verdict for judgement in judged] == [Verdict.PASS, Verdict.UNKNOWN, Verdict.IDLE]
        assert judged[1].lack is Lack.DATA

    def test_an_idle_night_is_no_missing_data(self) -> None:
        _, judged = soaked(ERRORS, [healthy(), *[control(counts(900))] * 300, healthy()])

        assert {judgement.verdict for judgement in judged[1:-1]} == {Verdict.IDLE}
        assert judged[-1].verdict is Verdict.PASS

    def test_an_idle_night_teaches_how_control_errors_come_together_and_nothing_else(self) -> None:
        before, _ = soaked(ERRORS, [healthy()] * 30)
        bursts = [control(counts(10_800, 360 if number % 7 == 0 else 0)) for number in range(300)]

        after, _ = soaked(ERRORS, [*[healthy()] * 30, *bursts])

        (known,), (learnt,) = before.states["g"].keys, after.states["g"].keys
        assert learnt.dispersion.burst > known.dispersion.burst
        assert learnt.model_copy(update={"dispersion": known.dispersion}) == known

    def test_idleness_does_not_hide_a_suspicion(self) -> None:
        _, judged = soaked(ERRORS, [*[healthy(bad=8)] * 600, control(counts(900))])

        assert judged[-1].verdict is Verdict.SUSPECT

    def test_a_sample_that_is_still_too_small_is_unknown_and_the_whole_soak_makes_it_up(self) -> None:
        _, judged = soaked(ISOLATION, [treated(counts(20))] * 8)

        assert [judgement.lack for judgement in judged] == [Lack.SAMPLE] * 4 + [Lack.NOTHING] * 4

    def test_a_metric_that_changed_its_type_is_an_error_and_leaves_the_evidence_alone(self) -> None:
        before, _ = soaked(ISOLATION, [treated(counts(1_000))] * 3)
        after, judged = soaked(ISOLATION, [*[treated(counts(1_000))] * 3, treated(latencies(1_000, 50.0))])

        assert judged[-1].verdict is Verdict.ERROR
        assert after.states == before.states

    def test_new_bucket_edges_are_judged_from_the_minute_they_came(self) -> None:
        other = Histogram(bounds=(1.0, 100.0, 200.0), counts=(0, 990, 10, 0), sum=1.0)

        _, judged = soaked(EVENTS, [treated(latencies(1_000, 20.0)), treated(other)])

        assert [judgement.verdict for judgement in judged] == [Verdict.PASS, Verdict.PASS]

    def test_new_bucket_edges_leave_a_suspicion_standing_and_what_passes_is_shown_again(self) -> None:
        def minute(treated_ms: float, edges: slice) -> Minute:
            slow, usual = latencies(1_200, treated_ms), latencies(10_800, 50.0)
            return {"treated": merged(slow, edges), "control": merged(usual, edges)}

        suspicious = [minute(52.0, slice(None))] * 600
        _, before = soaked(P95, suspicious)
        assert before[-1].verdict is Verdict.SUSPECT

        after = verdicts(P95, [*suspicious, *[minute(52.0, slice(None, None, 2))] * 30])
        assert after[600:] == [Verdict.SUSPECT] * 30

        healthy_then = verdicts(P95, [*[minute(50.0, slice(None))] * 30, *[minute(50.0, slice(None, None, 2))] * 5])
        assert healthy_then[29:] == [Verdict.PASS, Verdict.UNKNOWN, *[Verdict.PASS] * 4]

    def test_two_edges_are_too_few_for_a_p95_and_it_says_so_in_words(self) -> None:
        coarse = Histogram(bounds=(50.0, 100.0), counts=(900, 90, 10), sum=1.0)
        _, judged = soaked(P95, [{"treated": coarse, "control": coarse}])

        assert judged[-1].verdict is Verdict.ERROR
        assert judged[-1].reason == (
            "Errors: 2 bucket edges tell too little of a p95, 3 are needed; data until 12:01, 2 min old"
        )

    def test_latencies_that_all_lie_above_the_last_bucket_edge_never_pass(self) -> None:
        found = soaked(P95, first(timings(50_000.0, control_ms=50_000.0), 30))[1]

        assert {judgement.verdict for judgement in found} == {Verdict.UNKNOWN}
        assert "nearly all requests of control lie above the last edge" in found[-1].reason


class TestWhoLooksWhen:
    def test_evidence_survives_being_written_and_read_at_any_minute(self) -> None:
        whole, judged = soaked(P95, first(timings(53.0), 90))
        evidence: SoakEvidence | None = None
        answers = Answers(
            NOON,
            {
                "m": IntervalSeries(
                    [
                        IntervalMeasurement(end=NOON + number * MINUTE, groups=groups)
                        for number, groups in enumerate(first(timings(53.0), 90), start=1)
                    ]
                )
            },
        )
        last: dict[str, Judgement] = {}
        for number in range(1, 91):
            read = of_soak(evidence, SOAK.since, ["g"])
            last, evidence = judge_interval({"g": BoundGate(gate=P95)}, answers, NOON + number * MINUTE, SOAK, read)
            evidence = SoakEvidence.model_validate_json(evidence.model_dump_json())

        assert evidence == whole
        assert last["g"].verdict is judged[-1].verdict

    def test_data_that_arrive_late_are_weighed_once(self) -> None:
        whole, _ = soaked(ERRORS, UNEVEN)
        late, _ = soaked(ERRORS, [None if 20 <= number < 30 else groups for number, groups in enumerate(UNEVEN)])
        answers = Answers(
            NOON + timedelta(hours=3),
            {
                "m": IntervalSeries(
                    [
                        IntervalMeasurement(end=NOON + number * MINUTE, groups=groups)
                        for number, groups in enumerate(UNEVEN, start=1)
                    ]
                )
            },
        )

        for _ in range(2):
            for number in range(21, 31):
                judged, late = judge_interval(
                    {"g": BoundGate(gate=ERRORS)}, answers, NOON + number * MINUTE, SOAK, late
                )

        assert judged["g"].verdict is Verdict.PASS
        assert late.states["g"].keys[0].total == whole.states["g"].keys[0].total

    def test_the_next_stage_goes_on_with_the_evidence_but_not_with_the_sample(self) -> None:
        canary, judged = soaked(ERRORS, UNEVEN)

        staged = of_soak(canary, NOON + timedelta(hours=2), ["g", "new"])

        assert judged[-1].conclusive
        assert staged.states["g"].keys[0].harm == canary.states["g"].keys[0].harm
        assert staged.states["g"].keys[0].total == 0
        assert of_soak(staged, staged.since, ["g"]) is staged

    def test_what_a_person_went_on_with_all_the_same_is_not_held_against_the_next_stage(self) -> None:
        suspect, _ = soaked(ERRORS, [healthy(bad=8)] * 600)

        assert of_soak(suspect, NOON + timedelta(hours=12), ["g"]).states == {}
