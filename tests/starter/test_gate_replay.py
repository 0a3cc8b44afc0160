"""`rollout gates replay`: one JSON line per interval, and errors that name the file and the line."""

import json
from pathlib import Path

import pytest

from tests.starter.command_line import rollout

GATE = "kind: versus_control\nstatistic: bad_share\nmax_difference: 1%\ntitle: error rate\n"


def line(minute: int, bad: int = 0) -> str:
    counts = {"treated": {"total": 100, "bad": bad}, "control": {"total": 900, "bad": 1}}
    return json.dumps({"end": f"2026-11-23T12:{minute:02}:00Z", **counts})


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_text(GATE)
    return path


def test_each_interval_gives_one_line_with_its_decision_and_reason(gate: Path, tmp_path: Path) -> None:
    intervals = tmp_path / "intervals.jsonl"
    intervals.write_text("\n".join(line(minute, bad=20) for minute in range(20)) + "\n")
    replayed = rollout("gates", "replay", "--gate", gate, intervals)
    assert replayed.code == 0, replayed.err
    judged = [json.loads(written) for written in replayed.out.splitlines()]
    assert len(judged) == 20
    assert (judged[-1]["decision"], judged[-1]["verdict"]) == ("rollback", "FAIL")
    assert judged[-1]["interval"] == "2026-11-23T12:19:00Z"
    assert "limit +1.00" in judged[-1]["reason"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (f"{line(0)}\n{{]\n", "line 2: Expecting property name"),
        (f"{line(0)}\n\n", "line 2 is empty; each line is one interval"),
        (f"{line(0)}\n{line(1, bad=200)}\n", "interval 2: treated"),
    ],
)
def test_a_line_that_is_no_interval_is_refused_with_its_file_and_number(
    gate: Path, tmp_path: Path, written: str, said: str
) -> None:
    intervals = tmp_path / "intervals.jsonl"
    intervals.write_text(written)
    refused = rollout("gates", "replay", "--gate", gate, intervals)
    assert refused.code == 2
    assert f"{intervals}: {said}" in refused.err


def test_a_gate_that_cannot_be_judged_is_refused_with_its_file_and_field(gate: Path, tmp_path: Path) -> None:
    gate.write_text("kind: versus_control\nmax_difference: 0.01\n")
    intervals = tmp_path / "intervals.jsonl"
    intervals.write_text(line(0))
    refused = rollout("gates", "replay", "--gate", gate, intervals)
    assert refused.code == 2
    assert f"{gate}: gate: max_difference: Value error, a share is written with its percent sign" in refused.err
    missing = rollout("gates", "replay", "--gate", tmp_path / "none.yaml", intervals)
    assert missing.code == 2
    assert "none.yaml: [Errno 2] No such file or directory" in missing.err
