"""Latencies whose buckets are others from some interval on: nothing that was proven is forgotten, nothing made up."""

from datetime import timedelta

import pytest

from rollout.gates import judge_stream
from rollout.verdict import Verdict
from tests.rollout.streams import NARROW, NOON, P95, WIDE, first_rollback, latencies


class TestBucketsThatChange:
    @pytest.mark.parametrize("again", ["an interval that was judged", "one that was missing"])
    def test_late_latencies_with_the_buckets_of_before_change_nothing(self, again: str) -> None:
        whole = list(latencies(60, lambda index: WIDE if index < 20 else NARROW))
        late = whole[3]
        taken = whole if again == "an interval that was judged" else [one for one in whole if one is not late]

        straight = list(judge_stream(P95, taken))
        disturbed = list(judge_stream(P95, [*taken[:50], late, *taken[50:]]))
        assert disturbed[-1].evidence == straight[-1].evidence
        assert disturbed[-1].reason == straight[-1].reason

    def test_an_interval_without_anybody_in_other_buckets_forgets_nothing(self) -> None:
        whole = list(latencies(60, lambda _: WIDE))
        empty = {"bounds_ms": NARROW, "counts": [0] * (len(NARROW) + 1)}
        nobody = {"end": (NOON + timedelta(minutes=60)).isoformat(), "treated": empty, "control": empty}

        assert list(judge_stream(P95, [*whole, nobody]))[-1].evidence == list(judge_stream(P95, whole))[-1].evidence
        (*_, before, _nobody, after) = judge_stream(P95, [*whole, nobody, {**whole[0], "end": "2026-11-23T13:01:00Z"}])
        assert before.verdict is after.verdict is Verdict.PASS

    def test_healthy_latencies_are_left_alone_and_pass_again_by_what_the_new_buckets_show(self) -> None:
        found = list(judge_stream(P95, latencies(400, lambda index: WIDE if index < 200 else NARROW)))

        assert {one.decision for one in found} == {"continue", "advance"}
        assert found[200].verdict is Verdict.UNKNOWN
        assert found[-1].verdict is Verdict.PASS
        assert "24,0" in found[-1].reason or "23,9" in found[-1].reason, "120 requests in each of the last 200"

    def test_latencies_that_rise_afterwards_are_rolled_back(self) -> None:
        found = first_rollback(P95, list(latencies(300, lambda index: WIDE if index < 100 else NARROW, slower=200)))
        assert found is not None
        assert 200 <= found < 230

    def test_buckets_that_change_every_few_minutes_prove_nothing_and_break_nothing(self) -> None:
        found = list(judge_stream(P95, latencies(120, lambda index: WIDE if index // 3 % 2 else NARROW)))
        assert {one.decision for one in found} == {"continue"}

    def test_latencies_that_all_lie_above_the_last_edge_are_never_a_pass(self) -> None:
        found = list(judge_stream(P95, latencies(120, lambda _: [1.0, 2.0, 3.0], slower=0)))

        assert {one.verdict for one in found} == {Verdict.UNKNOWN}
        assert found[-1].reason == (
            "gate: nearly all requests of control lie above the last edge, 3, where no bucket shows them get slower"
        )

    @pytest.mark.parametrize("last", [150.0, 75.0, 50.0])
    def test_a_p95_alone_above_the_last_edge_is_judged_by_what_lies_there(self, last: float) -> None:
        def edges(_: int) -> list[float]:
            return [edge for edge in WIDE if edge <= last]

        assert [one.decision for one in judge_stream(P95, latencies(300, edges))][-1] == "advance"
        found = first_rollback(P95, list(latencies(300, edges, slower=200)))
        assert found is not None
        assert 200 <= found < 230
