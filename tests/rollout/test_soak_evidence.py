"""A plan's gates over a soak: evidence decides, people read the window."""

import re

import pytest

from rollout.measurement import Histogram, Level
from rollout.verdict import Lack, Verdict
from tests.rollout.samples import counts, latencies
from tests.rollout.soaked_gates import (
    ERRORS,
    ERRORS_BEFORE,
    EVENTS,
    HELD_ERRORS,
    ISOLATION,
    P95,
    P95_BEFORE,
    SCORE,
    WITHOUT_A_VIOLATION,
    Minute,
    first,
    healthy,
    soaked,
    timings,
    treated,
    verdicts,
)


class TestVersusControl:
    def test_a_difference_beyond_the_limit_fails_within_minutes_and_says_why(self) -> None:
        _, judged = soaked(ERRORS, [healthy()] * 60 + [healthy(bad=50)] * 10)

        failed = next(number for number, judgement in enumerate(judged) if judgement.verdict is Verdict.FAIL)
        assert {judgement.verdict for judgement in judged[:60]} == {Verdict.PASS}
        assert failed - 60 < 8
        assert judged[-1].reason == (
            "Errors: 4.17 % against 0.33 % in control: +3.83 points, 99 % interval +3.39 to +4.33, limit ≤ +1 point; "
            "12,000 and 108,000 observations; harm is proven (543,416 to 1), "
            "and beyond what is tolerated (more than 1,000,000 to 1); data until 13:10, 2 min old"
        )

    def test_a_small_difference_that_is_certain_is_suspect_and_does_not_fail(self) -> None:
        _, judged = soaked(ERRORS, [healthy(bad=8)] * 600)

        assert judged[-1].verdict is Verdict.SUSPECT
        assert Verdict.FAIL not in {judgement.verdict for judgement in judged}
        assert "but not beyond what is tolerated (less than 1 to 1; 3 to 1 are needed); data" in judged[-1].reason

    def test_one_beyond_what_is_tolerated_but_not_beyond_doubt_is_told_by_the_odds_that_are_missing(self) -> None:
        _, judged = soaked(ERRORS, [healthy()] * 60 + [healthy(bad=18)] * 2 + [healthy(bad=30)] * 6)

        suspect = next(judgement.reason for judgement in judged if judgement.verdict is Verdict.SUSPECT)
        said = re.search(
            r"harm is proven \(([\d,]+) to 1\), but not beyond doubt, for which 3,000 to 1 are needed; data", suspect
        )
        assert said
        assert 1_000 <= int(said[1].replace(",", "")) < 3_000

    def test_what_the_fuse_fails_is_told_by_the_fuse_and_not_called_proven(self) -> None:
        gross: Minute = {"treated": counts(100, 40), "control": counts(900, 0)}
        _, judged = soaked(ERRORS, [gross] * 5)

        failed = next(judgement.reason for judgement in judged if judgement.verdict is Verdict.FAIL)
        assert "; 400 and 3,600 observations; 20 points or more beyond it in 4 intervals in a row; data until" in failed

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
        assert "1 at 2026-11-23 12:06, none is tolerated" in judged[-1].reason

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
