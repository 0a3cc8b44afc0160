"""Names as people paste them: taken without the blanks around them, and refused in words where nothing is left."""

import pytest

from tests.starter.command_line import Rollout, Run

WHO = ("--by", "kim", "--reason", "checkout is down")
BLANK = {
    "a rollout to look at": ["status", " "],
    "a rollout to pause": ["pause", ""],
    "a rollout to take back": ["emergency-rollback", " ", *WHO],
    "a plan whose flags go off": ["emergency-disable", "", *WHO],
    "a plan to rearm": ["rearm", " ", *WHO],
    "a rollout to give back": ["doctor", "--release", " "],
    "a flag to look at": ["flags", "get", ""],
    "a flag in a history": ["flags", "history", "--flag", " "],
    "a plan's flags": ["flags", "list", "--group", ""],
    "a flag to set": ["update-stage", "--flag", " ", "--stage", "internal", *WHO],
    "a stage": ["update-stage", "--flag", "basket", "--stage", " ", *WHO],
    "a gate": ["resolve-hold", "continue", "--gate", " ", *WHO],
    "a request": ["retry", "--request-id", ""],
}


@pytest.mark.parametrize("arguments", BLANK.values(), ids=BLANK)
def test_a_blank_name_is_refused_before_anything_is_asked(run: Run, arguments: list[str]) -> None:
    ran = run({}, *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert "a name is expected, or the whole of it left out" in " ".join(ran.err.replace("│", " ").split())


@pytest.mark.usefixtures("quick")
def test_names_are_taken_without_the_blanks_around_them(command: Rollout) -> None:
    shown = command("status", " quick ", "--json")
    assert (shown.code, shown.json["workflow_id"]) == (0, "rollout/quick")

    paused = command("pause", "quick ", "--by", " kim ", "--json")
    assert (paused.code, paused.json["happened"]) == (0, "paused")

    flags = command("flags", "list", "--group", " quick", "--environment", "test", "--json")
    assert {row["group"] for row in flags.json} == {"quick"}
    flag = flags.json[0]["flag"]
    assert command("flags", "get", f" {flag} ", "--environment", "test").code == 0

    # Nobody sees a flag yet: what refuses it is the rollout, which has read both names.
    refused = command("update-stage", "--flag", f" {flag}", "--stage", " half ", *WHO, "--environment", "test")
    assert refused.code == 2
    assert "stage 'half': the plan has " in refused.err

    again = command("start", "tests/starter/quick_plan.yaml", "--image", " backend = example/backend:9 ")
    assert (again.code, "is open already" in again.err) == (2, True)
