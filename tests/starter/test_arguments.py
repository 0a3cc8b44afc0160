"""Arguments that cannot be read are refused with their value and what is allowed, in the command's own words."""

import pytest

from tests.starter.command_line import Run

PLAN = "plans/rehearsal.yaml"
WRONG = {
    "how a hold is resolved": (
        ["resolve-hold", "foo"],
        "Invalid value for 'HOW': 'foo' is not one of 'continue', 'adopt', 'rollback'",
    ),
    "a number of entries": (["flags", "history", "--count", "few"], "'--count': 'few': expected a whole number"),
    "a number too small": (["flags", "history", "--count", "0"], "'--count': 0: expected at least 1"),
    "a number too large": (["flags", "history", "--count", "10001"], "'--count': 10001: expected at most 10000"),
    "a rate below nothing": (["plan", "power", PLAN, "--rate", "-1"], "'--rate': -1: expected at least 0"),
    "a rate": (["plan", "power", PLAN, "--rate", "some"], "'--rate': 'some': expected a number"),
    "a duration": (["extend", "5"], "'5': expected a duration such as 12h or 2d, above 0 and at most 30 days"),
    "no duration": (["extend", "0s"], "'0s': expected a duration such as 12h or 2d, above 0 and at most 30 days"),
    "too long a duration": (["extend", "31d"], "'31d': expected a duration such as 12h or 2d, above 0 and at most"),
    "a share": (["plan", "power", PLAN, "--rate", "5", "--error-rate", "5"], "'5': a share is written with its"),
    "a date": (["what-if", PLAN, "--from", "monday", "--to", "now"], "--from 'monday': a time such as 2026-11-24"),
    "a watch by a program": (
        ["status", "--watch", "--json"],
        "--watch: goes on until the rollout ends, --json answers at once; give one of them",
    ),
    "a watch of one look": (["status", "--watch", "--emergency-check"], "--emergency-check answers at once"),
    "a start that a program watches": (["start", PLAN, "--watch", "--json"], "--json answers at once"),
    "no reason to try again": (
        ["start", PLAN, "--again", "--reason", " "],
        "--again: say in --reason why a candidate that was rolled back may be tried once more",
    ),
    "an image": (["start", PLAN, "--image", "backend"], "--image 'backend': expected SERVICE=IMAGE without spaces"),
    "a limit of a load test": (["load-test", "--url", "http://a", "--max-p95", "5"], "--max-p95: a duration is a"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_an_argument_that_cannot_be_read_is_refused_with_its_value_and_what_is_allowed(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    ran = run({}, *arguments)

    told = " ".join(ran.err.replace("│", " ").split())
    assert (ran.code, ran.out) == (2, "")
    assert said in told
    assert "Value error" not in told
    assert "Input should be" not in told
