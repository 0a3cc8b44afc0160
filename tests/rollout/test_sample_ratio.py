# ruff: noqa: S311  (seeded data for tests, no secrets)
"""Groups of another size than the plan exposes hold a rollout; users who are not all alike do not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter
from scipy.stats import binom  # type: ignore[import-untyped]

from rollout.binding import planned_share
from rollout.gates import judge_stream
from rollout.plan import RolloutPlan
from rollout.sample_ratio import SampleRatio
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate, SequentialJudgement
from rollout.sequential_state import SequentialState
from rollout.verdict import Verdict
from starter.plan_file import load_plan
from tests.checkout import PLANS

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ERRORS = {"kind": "versus_control", "max_difference": "1%", "title": "Errors", "planned_share": "10%", "users": 100_000}
REQUESTS_A_MINUTE = 1_200
SHIPPED = PLANS / "request-isolation.yaml"


def minutes(share: float, count: int, *, seed: int = 1, users: int = 0) -> Iterator[dict[str, Any]]:
    """A share of the requests; with `users`, of so many, some of whom make a hundred times as many as others."""
    random = Random(seed)
    if users:
        activity = [random.lognormvariate(0, 1) for _ in range(users)]
        treated_activity = sum(one for one in activity if random.random() < share)
        share = treated_activity / sum(activity)
    for minute in range(1, count + 1):
        # Sessions of twenty requests: whole sessions are treated or not.
        sessions = sum(random.random() < share for _ in range(REQUESTS_A_MINUTE // 20))
        treated = 20 * sessions
        yield {
            "end": (NOON + timedelta(minutes=minute)).isoformat(),
            "treated": {"total": treated, "bad": 0},
            "control": {"total": REQUESTS_A_MINUTE - treated, "bad": 0},
        }


def judged(gate: dict[str, Any], intervals: Iterator[dict[str, Any]]) -> list[SequentialJudgement]:
    return list(judge_stream(gate, intervals))


@pytest.mark.parametrize("share", [0.04, 0.25], ids=["too few", "too many"])
def test_groups_of_another_size_hold_within_the_hour_and_never_roll_back(share: float) -> None:
    found = judged(ERRORS, minutes(share, 60))

    assert found[-1].decision == "hold"
    assert found[-1].verdict is Verdict.SUSPECT
    assert "rollback" not in {judgement.decision for judgement in found}


def test_the_reason_gives_the_planned_share_the_observed_one_and_the_counts() -> None:
    found = judged(ERRORS, minutes(0.25, 60))[-1].reason

    assert found.startswith("Errors: 2")
    for part in (
        " % of the requests are from treated users, planned are 10 % (6.9 to 14.3 are tolerated among 100,000 users): ",
        " of 72,000",
    ):
        assert part in found


@pytest.mark.parametrize("share", [0.09, 0.103, 0.12])
def test_a_share_that_is_a_little_off_is_never_held(share: float) -> None:
    assert {judgement.verdict for judgement in judged(ERRORS, minutes(share, 600))} <= {Verdict.PASS, Verdict.UNKNOWN}


@pytest.mark.parametrize("seed", range(3))
def test_users_of_very_different_activity_are_no_mismatch(seed: int) -> None:
    assert "hold" not in {one.decision for one in judged(ERRORS, minutes(0.1, 600, seed=seed, users=5_000))}


@pytest.mark.parametrize(("users", "planned"), [(150, 0.1), (750, 0.1), (4_000, 0.1), (750, 0.5), (4_000, 0.01)])
def test_a_share_that_the_draw_of_the_users_explains_is_tolerated_by_the_exact_binomial_tail(
    users: int, planned: float
) -> None:
    low, high = SampleRatio(planned=planned, users=users).tolerated
    alike = users // 30

    assert binom.cdf(low * alike - 0.6, alike, planned) <= 3e-5
    assert binom.sf(high * alike - 0.4, alike, planned) <= 3e-5
    # And no wider than that, but where odds off by half are.
    odds = planned / (1 - planned)
    assert high == 1 or binom.sf(high * alike - 2.1, alike, planned) > 3e-5 or high <= odds * 1.5 / (1 + odds * 1.5)


@pytest.mark.parametrize(("users", "said"), [(30, {"users": 30}), (100, {}), (300, {})])
def test_few_users_hold_nothing_whatever_share_they_make_by_chance(users: int, said: dict[str, int]) -> None:
    gate = {name: value for name, value in ERRORS.items() if name != "users"} | said
    random = Random(users)
    luckless = max(_drawn(random, users) for _ in range(300))

    assert luckless > 0.15
    assert "hold" not in {one.decision for one in judged(gate, minutes(luckless, 300))}


def _drawn(random: Random, users: int) -> float:
    """The treated part of the requests, where a tenth of the users makes four tenths of them."""
    activity = [random.lognormvariate(0, 1) for _ in range(users)]
    return sum(one for one in activity if random.random() < 0.1) / sum(activity)


def test_a_label_of_the_wrong_group_holds_where_nobody_says_how_many_users_there_are() -> None:
    gate = {name: value for name, value in ERRORS.items() if name != "users"}

    assert judged(gate, minutes(0.9, 60))[-1].decision == "hold"


def test_a_question_that_began_before_users_were_asked_for_goes_on_as_it_began() -> None:
    old = SampleRatio(planned=0.1)
    written = TypeAdapter(SampleRatio).dump_python(old, mode="json")
    del written["users"]

    read = TypeAdapter(SampleRatio).validate_python(written)
    assert read.after(600, 600, 1.0).users is None
    assert [round(share, 3) for share in read.tolerated] == [0.069, 0.143]


def test_without_a_planned_share_nothing_is_asked_of_the_sizes() -> None:
    gate = {name: value for name, value in ERRORS.items() if name != "planned_share"}

    assert "hold" not in {one.decision for one in judged(gate, minutes(0.5, 60))}


def test_proven_harm_rolls_back_whatever_the_sizes() -> None:
    harmed = [{**one, "treated": {"total": 600, "bad": 60}} for one in minutes(0.5, 60)]

    assert judged(ERRORS, iter(harmed))[-1].decision == "rollback"


def test_it_begins_anew_with_another_share_and_is_read_as_it_was_written() -> None:
    state = begin(gate := SequentialGate.model_validate(ERRORS))
    for one in minutes(0.5, 40):
        state, judgement = step(gate, state, Interval.model_validate(one))
    assert judgement.decision == "hold"

    written = state.model_dump_json()
    read = SequentialState.model_validate_json(written)
    next_stage = SequentialGate.model_validate({**ERRORS, "planned_share": "50%"})
    half = GroupCounts(total=600)
    read, judgement = step(next_stage, read, Interval(end=NOON + timedelta(minutes=41), treated=half, control=half))

    assert read.sample is not None
    assert read.sample.planned == 0.5
    assert judgement.decision != "hold"
    assert len(written) < 4_000


@pytest.mark.parametrize("written", [0.1, "0%", "100%", "120%"])
def test_a_planned_share_is_a_percentage_of_some_but_not_all(written: object) -> None:
    with pytest.raises(ValueError, match="planned_share"):
        judged({**ERRORS, "planned_share": written}, iter(()))


def test_a_planned_share_without_a_control_group_is_refused() -> None:
    gate = {"kind": "threshold", "at_most": "1%", "planned_share": "10%"}
    with pytest.raises(ValueError, match="planned_share: of a comparison with control only"):
        judged(gate, iter(()))


def test_the_shipped_plan_says_what_share_of_the_requests_its_canary_and_half_have_and_no_other_stage() -> None:
    plan = load_plan(SHIPPED)

    assert of_stages(plan) == {"canary": {0.1}, "staged": {0.5}}


def of_stages(plan: RolloutPlan) -> dict[str, set[float]]:
    """By stage, what its gates are told."""
    told = {stage.name: {planned_share(plan, stage, plan.gates[name]) for name in stage.gates} for stage in plan.stages}
    return {stage: {share for share in shares if share} for stage, shares in told.items() if any(shares)}
