"""`rollout plan power`: how soon gates would find regressions, without asking anybody."""

from tests.checkout import PLANS
from tests.starter.command_line import Run

PLAN = PLANS / "traffic-canary.yaml"


def test_the_command_ends_with_1_where_a_soak_is_too_short_and_with_2_on_wrong_input(run: Run) -> None:
    enough = run({}, "plan", "power", PLAN, "--rate", "20", "--error-rate", "0.5%")
    few = run({}, "plan", "power", PLAN, "--rate", "1", "--error-rate", "0.5%", "--json")
    wrong = run({}, "plan", "power", PLAN, "--rate", "1", "--error-rate", "5")

    assert (enough.code, few.code, wrong.code) == (0, 1, 2)
    assert "+2 points: 8 min" in enough.out
    assert len(few.json["too_slow"]) == 2
    assert "--error-rate '5': a share is written with its percent sign" in wrong.err
