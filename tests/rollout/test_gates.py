import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from rollout.gate_judgement import WindowSamples, judge, judge_probe
from rollout.gates import Gate, ProbeGate
from rollout.measurement import Level
from rollout.verdict import Lack, Verdict
from tests.rollout.samples import NOON, counts, latencies, window

ADAPTER: TypeAdapter[Gate] = TypeAdapter(Gate)
COMMON = {"title": "Gate", "action": "rollback", "page_after": "30m"}
MEASURED = {**COMMON, "metric": "m", "window": "10m", "minimum_sample": 100, "group": "treated"}


def gate(**fields: Any) -> Gate:
    measured = fields["kind"] in ("threshold", "versus_control", "versus_baseline")
    return ADAPTER.validate_python({**(MEASURED if measured else COMMON), **fields})


ISOLATION = gate(kind="threshold", statistic="good_share", at_least="99.5%")
PERFECT_ISOLATION = gate(kind="threshold", statistic="good_share", at_least="100%")
INTERNAL_ERRORS = gate(kind="threshold", statistic="bad_share", below="0.1%")
ERROR_DIFFERENCE = gate(kind="versus_control", statistic="bad_share", max_difference="1%")
P95 = gate(kind="versus_control", statistic="p95", max_increase="10%")
P95_BASELINE = gate(kind="versus_baseline", statistic="p95", max_increase="5%")
CASCADE = gate(kind="zero_tolerance", metric="m", group="treated")
LEGACY = gate(kind="absence", metric="m", alive="alive", group="all")


class TestThreshold:
    @pytest.mark.parametrize(
        ("case", "total", "bad", "verdict"),
        [
            ("exactly at the limit", 10_000, 50, Verdict.PASS),
            ("just beyond, within chance", 10_000, 55, Verdict.UNKNOWN),
            ("far beyond", 10_000, 100, Verdict.FAIL),
            ("nothing violated", 10_000, 0, Verdict.PASS),
        ],
    )
    def test_a_share_is_judged_with_its_sampling_error(self, case: str, total: int, bad: int, verdict: Verdict) -> None:
        assert judge("g", ISOLATION, window(treated=counts(total, bad))).verdict is verdict

    def test_one_violation_among_a_million_breaks_a_limit_of_one_hundred_percent(self) -> None:
        judgement = judge("g", PERFECT_ISOLATION, window(treated=counts(1_000_000, 1)))

        assert judgement.verdict is Verdict.FAIL

    def test_strictly_below_means_that_the_limit_itself_does_not_pass(self) -> None:
        assert judge("g", INTERNAL_ERRORS, window(treated=counts(10_000, 10))).verdict is not Verdict.PASS
        assert judge("g", INTERNAL_ERRORS, window(treated=counts(10_000, 9))).verdict is Verdict.PASS

    def test_the_reason_gives_value_limit_and_sample(self) -> None:
        judgement = judge("g", ISOLATION, window(treated=counts(10_000, 100)))

        assert judgement.reason == "Gate: 99%, limit ≥ 99.5%; 10,000 observations"
        assert (judgement.value, judgement.limit, judgement.sample) == ("99%", "≥ 99.5%", 10_000)

    def test_a_level_is_compared_as_it_is(self) -> None:
        score = gate(kind="threshold", statistic="level", at_least="99.5%", minimum_sample=1)

        assert judge("g", score, window(treated=Level(value=0.996))).verdict is Verdict.PASS
        assert judge("g", score, window(treated=Level(value=0.994))).verdict is Verdict.FAIL


class TestVersusControl:
    def test_a_difference_is_told_in_points_with_its_interval_and_both_samples(self) -> None:
        judgement = judge("g", ERROR_DIFFERENCE, window(treated=counts(48_211, 1_200), control=counts(433_902, 1_345)))

        assert judgement.verdict is Verdict.FAIL
        assert judgement.reason == (
            "Gate: 2.49 % against 0.31 % in control: +2.18 points, 99 % interval +2.00 to +2.37, "
            "limit ≤ +1 point; 48,211 and 433,902 observations"
        )

    @pytest.mark.parametrize(
        ("case", "treated", "control", "verdict"),
        [
            ("no error anywhere", counts(1_000), counts(9_000), Verdict.PASS),
            ("errors against none", counts(1_000, 50), counts(9_000), Verdict.FAIL),
            ("the same bad rate in both", counts(1_000, 300), counts(9_000, 2_700), Verdict.PASS),
            ("better than control", counts(1_000), counts(9_000, 900), Verdict.PASS),
            ("beyond, but few", counts(100, 3), counts(900, 0), Verdict.UNKNOWN),
        ],
    )
    def test_differences_are_absolute_and_defined_at_zero(
        self, case: str, treated: Any, control: Any, verdict: Verdict
    ) -> None:
        assert judge("g", ERROR_DIFFERENCE, window(treated=treated, control=control)).verdict is verdict

    @pytest.mark.parametrize(
        ("median_ms", "verdict"),
        [(50.0, Verdict.PASS), (53.0, Verdict.PASS), (65.0, Verdict.FAIL), (40.0, Verdict.PASS)],
    )
    def test_p95_is_compared_relatively_although_buckets_are_wider_than_the_limit(
        self, median_ms: float, verdict: Verdict
    ) -> None:
        judgement = judge("g", P95, window(treated=latencies(60_000, median_ms), control=latencies(540_000, 50.0)))

        assert judgement.verdict is verdict

    def test_a_control_group_that_is_too_small_is_waited_for(self) -> None:
        judgement = judge("g", ERROR_DIFFERENCE, window(treated=counts(1_000, 900), control=counts(20)))

        assert (judgement.verdict, judgement.lack) == (Verdict.UNKNOWN, Lack.SAMPLE)


class TestVersusBaseline:
    def test_the_stored_baseline_is_the_reference_where_no_control_group_exists(self) -> None:
        before = latencies(100_000, 50.0)

        same = judge("g", P95_BASELINE, window(baseline=before, treated=latencies(60_000, 50.0)))
        slower = judge("g", P95_BASELINE, window(baseline=before, treated=latencies(60_000, 60.0)))

        assert (same.verdict, slower.verdict) == (Verdict.PASS, Verdict.FAIL)
        assert "in the baseline" in slower.reason

    def test_what_rounds_to_no_change_is_not_called_a_decrease_and_every_percentage_is_written_alike(self) -> None:
        before, hardly_quicker = latencies(100_000, 50.0), latencies(60_000, 49.9999)
        judgement = judge("g", P95_BASELINE, window(baseline=before, treated=hardly_quicker))

        assert judgement.value == "+0.0%"
        [told] = re.findall(r"in the baseline: (.*), limit", judgement.reason)
        assert re.fullmatch(r"\+0\.0%, interval [+-]\d+\.\d% to [+-]\d+\.\d%", told)

    def test_a_limit_of_one_point_is_told_in_the_singular_and_any_other_in_the_plural(self) -> None:
        limits = [
            gate(kind="versus_baseline", statistic="bad_share", max_difference=allowed).limit_in_words
            for allowed in ("0.5%", "1%", "2%")
        ]
        assert limits == ["≤ +0.5 points", "≤ +1 point", "≤ +2 points"]

    def test_without_a_baseline_nothing_passes(self) -> None:
        judgement = judge("g", P95_BASELINE, window(treated=latencies(60_000, 50.0)))

        assert (judgement.verdict, judgement.lack) == (Verdict.UNKNOWN, Lack.DATA)


class TestNoData:
    @pytest.mark.parametrize("asked", [ISOLATION, ERROR_DIFFERENCE, P95, P95_BASELINE, CASCADE])
    def test_no_data_never_passes_and_never_fails(self, asked: Gate) -> None:
        judgement = judge("g", asked, WindowSamples(as_of=NOON))

        assert (judgement.verdict, judgement.lack) == (Verdict.UNKNOWN, Lack.DATA)

    @pytest.mark.parametrize("asked", [ISOLATION, ERROR_DIFFERENCE, CASCADE])
    def test_a_healthy_source_without_treated_traffic_is_idle(self, asked: Gate) -> None:
        assert judge("g", asked, window(control=counts(900))).verdict is Verdict.IDLE

    def test_a_sample_that_is_still_too_small_is_unknown_whatever_it_shows(self) -> None:
        judgement = judge("g", ISOLATION, window(treated=counts(99, 99)))

        assert (judgement.verdict, judgement.lack) == (Verdict.UNKNOWN, Lack.SAMPLE)

    def test_a_metric_that_changed_its_type_is_an_error_not_a_value(self) -> None:
        assert judge("g", ISOLATION, window(treated=latencies(1_000, 50.0))).verdict is Verdict.ERROR


class TestZeroToleranceAndAbsence:
    def test_the_first_event_fails(self) -> None:
        assert judge("g", CASCADE, window(treated=counts(1))).verdict is Verdict.FAIL

    def test_a_counted_zero_passes_but_silence_does_not(self) -> None:
        assert judge("g", CASCADE, window(treated=counts(0))).verdict is Verdict.PASS
        assert judge("g", CASCADE, WindowSamples(as_of=NOON)).verdict is Verdict.UNKNOWN

    def test_absence_needs_a_sign_of_life(self) -> None:
        silent = WindowSamples(as_of=NOON, samples={"alive": {"all": counts(500)}})
        dead = WindowSamples(as_of=NOON)
        heard = WindowSamples(as_of=NOON, samples={"alive": {"all": counts(500)}, "m": {"all": counts(2)}})

        verdicts = [judge("g", LEGACY, found).verdict for found in (silent, dead, heard)]

        assert verdicts == [Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL]


class TestProbe:
    PROBE = ProbeGate.model_validate(
        {**COMMON, "kind": "probe", "service": "backend", "path": "/health/isolation", "field": "score", "at_least": 1}
    )

    @pytest.mark.parametrize(
        ("status", "field", "verdict"),
        [
            (200, 1.0, Verdict.PASS),
            (200, 0.98, Verdict.FAIL),
            (503, 1.0, Verdict.FAIL),
            (200, None, Verdict.ERROR),
            (None, None, Verdict.ERROR),
        ],
    )
    def test_an_endpoint_is_judged_by_status_and_number_and_silence_is_an_error(
        self, status: int | None, field: float | None, verdict: Verdict
    ) -> None:
        assert judge_probe("g", self.PROBE, status=status, field=field, as_of=NOON).verdict is verdict


class TestGatesAsWritten:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"kind": "threshold", "statistic": "bad_share"}, "exactly one of `at_most`, `at_least`, `below`"),
            ({"kind": "threshold", "statistic": "p95", "at_most": "5%"}, "p95 is measured in ms or number, not 5%"),
            ({"kind": "versus_control", "statistic": "p95", "max_difference": "5%"}, "all else by `max_increase`"),
            ({"kind": "versus_control", "statistic": "good_share", "max_difference": "5%"}, "compare bad_share"),
            ({"kind": "threshold", "statistic": "bad_share", "at_most": 1}, "bad_share is measured in share, not 1"),
            ({"kind": "versus_control", "statistic": "bad_share", "max_difference": 0.01}, "percent sign"),
            ({"kind": "threshold", "statistic": "bad_share", "at_most": "150%"}, "between 0% and 100%, not at 150%"),
            ({"kind": "versus_control", "statistic": "p95", "max_increase": "0%"}, "more than 0%"),
            ({"kind": "probe", "service": "s", "path": "/x", "field": "score"}, "come together"),
        ],
    )
    def test_a_gate_that_makes_no_sense_is_refused_with_what_is_allowed(
        self, fields: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ValidationError, match=said.replace("`", ".").replace("(", ".")):
            gate(**fields)

    @pytest.mark.parametrize("asked", [ISOLATION, INTERNAL_ERRORS, ERROR_DIFFERENCE, P95, CASCADE, LEGACY])
    def test_a_gate_survives_the_way_through_json(self, asked: Gate) -> None:
        assert ADAPTER.validate_json(ADAPTER.dump_json(asked)) == asked
