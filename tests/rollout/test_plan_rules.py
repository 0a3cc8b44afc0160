import pytest
from pydantic import ValidationError

from rollout.plan import RolloutPlan
from starter.plan_file import load_plan
from tests.checkout import PLANS

REHEARSAL = load_plan(PLANS / "rehearsal.yaml")


def test_a_stage_whose_gates_only_warn_is_refused_because_nothing_could_stop_it() -> None:
    written = REHEARSAL.model_dump(mode="json", exclude_none=True)
    for gate in written["stages"][2]["gates"]:
        written["gates"][gate]["action"] = "warn"

    with pytest.raises(ValidationError, match="a stage needs a gate that can stop it"):
        RolloutPlan.model_validate(written)


@pytest.mark.parametrize(
    ("stage", "minimum_soak", "said"),
    [
        ("canary", "15s", r"stages.2.accelerate.minimum_soak: longer than nothing and shorter than the stage's soak"),
        ("canary", "0s", "longer than nothing"),
        ("internal", "5s", "stages.1.accelerate: needs a gate that compares"),
    ],
)
def test_an_early_end_needs_a_minimum_below_the_soak_and_a_comparison(stage: str, minimum_soak: str, said: str) -> None:
    written = REHEARSAL.model_dump(mode="json", exclude_none=True)
    (accelerated,) = (each for each in written["stages"] if each["name"] == stage)
    accelerated["accelerate"] = {"minimum_soak": minimum_soak}

    with pytest.raises(ValidationError, match=said):
        RolloutPlan.model_validate(written)


@pytest.mark.parametrize(("length", "allowed"), [(37, True), (38, False)])
def test_a_service_leaves_room_for_the_tag_of_its_candidate(length: int, allowed: bool) -> None:
    written = REHEARSAL.model_dump(mode="json", exclude_none=True)
    written["services"]["backend"]["service"] = "s" * length

    if allowed:
        assert RolloutPlan.model_validate(written).services["backend"].service == "s" * length
        return
    with pytest.raises(ValidationError, match=r"services\.backend\.service: at most 37 characters"):
        RolloutPlan.model_validate(written)


def test_a_plan_survives_the_way_through_json() -> None:
    assert RolloutPlan.model_validate_json(REHEARSAL.model_dump_json()) == REHEARSAL
