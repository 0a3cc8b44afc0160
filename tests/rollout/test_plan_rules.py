from pathlib import Path

import pytest
from pydantic import ValidationError

from rollout.plan import RolloutPlan
from starter.plan_file import load_plan

REHEARSAL = load_plan(Path(__file__).parents[2] / "plans" / "rehearsal.yaml")


def test_a_stage_whose_gates_only_warn_is_refused_because_nothing_could_stop_it() -> None:
    written = REHEARSAL.model_dump(mode="json", exclude_none=True)
    for gate in written["stages"][2]["gates"]:
        written["gates"][gate]["action"] = "warn"

    with pytest.raises(ValidationError, match="a stage needs a gate that can stop it"):
        RolloutPlan.model_validate(written)


def test_a_plan_survives_the_way_through_json() -> None:
    assert RolloutPlan.model_validate_json(REHEARSAL.model_dump_json()) == REHEARSAL
