"""`rollout gates replay`: one JSON line per interval, and errors that name the file and the line."""

import json
from pathlib import Path

import pytest

from tests.starter.command_line import Run, rollout

GATE = "kind: versus_control\nstatistic: bad_share\nmax_difference: 1%\ntitle: error rate\n"


def line(minute: int, bad: int = 0) -> str:
    counts = {"treated": {"total": 100, "bad": bad}, "control": {"total": 900, "bad": 1}}
    return json.dumps({"end": f"2026-11-23T12:{minute:02}:00Z", **counts})


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_text(GATE)
    return path


def test_each_interval_gives_one_line_with_its_decision_and_reason(run: Run, gate: Path, tmp_path: Path) -> None:
    intervals = tmp_path / "intervals.jsonl"
    intervals.write_text("\n".join(line(minute, bad=20) for minute in range(20)) + "\n")
    replayed = run({}, "gates", "replay", "--gate", gate, intervals)
    assert replayed.code == 0, replayed.err
    judged = [json.loads(written) for written in replayed.out.splitlines()]
    assert len(judged) == 20
    assert (judged[-1]["decision"], judged[-1]["verdict"]) == ("rollback", "FAIL")
    assert judged[-1]["interval"] == "2026-11-23T12:19:00Z"
    assert "limit +1.00" in judged[-1]["reason"]


def test_an_interval_that_passes_says_what_was_measured(run: Run, gate: Path, tmp_path: Path) -> None:
    intervals = tmp_path / "intervals.jsonl"
    intervals.write_text("\n".join(line(minute) for minute in range(20)) + "\n")
    last = json.loads(run({}, "gates", "replay", "--gate", gate, intervals).out.splitlines()[-1])
    assert last["verdict"] == "PASS"
    assert last["reason"].startswith("error rate: 0.00 % against 0.11 % in control: -0.11 points, 99 % interval ")


def with_bad(written: str) -> str:
    return f'{{"end": "2026-11-24T12:00:00Z", "treated": {{"total": 10, "bad": {written}}}}}\n'


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (f"{line(0)}\n{{]\n", "line 2: not JSON: Expecting property name"),
        (f"{line(0)}\n\n", "line 2 is empty; each line is one interval"),
        (f"{line(0)}\n{line(1, bad=200)}\n", "interval 2: treated: bad: at most total (100), got 200, got {"),
        (with_bad("9" * 6_000), "line 1: bad: a number of more than 300 digits"),
        (with_bad("9" * 400), "interval 1: treated: bad: at most total"),
        (with_bad("[" * 100_000), "line 1: bad: nested deeper than 20 levels"),
        ("[" * 100_000, "line 1: nested deeper than 20 levels"),
        ('{"end": ' + "9" * 5_000 + "}", "line 1: end: a number of more than 300 digits"),
        (f'{line(0)}\n{{"end": "a", "treated": null, "end": "b"}}', "line 2: end: stands twice, as 'a' and as 'b'"),
        ("", "holds no interval; each line is one"),
        (line(0).replace("Z", ""), "interval 1: end: a time with its zone is expected, such as 2026-11-24T12:00:00Z"),
        (line(0).replace("100", "-1"), "interval 1: treated.total: Input should be greater than or equal to 0, got -1"),
        ('{"end": "2026-11-23T12:00Z", "treated": []}', "interval 1: treated: an object of fields is expected, got []"),
        ('{"end": "2026-11-23T12:00Z", "treated": {"counts": []}}', "interval 1: treated.bounds_ms: is missing, got"),
    ],
)
def test_a_line_that_is_no_interval_is_refused_with_its_file_and_number(
    run: Run, gate: Path, tmp_path: Path, written: str, said: str
) -> None:
    intervals = tmp_path / "intervals.jsonl"
    intervals.write_text(written)
    refused = run({}, "gates", "replay", "--gate", gate, intervals)
    assert refused.code == 2
    assert f"{intervals}: {said}" in refused.err
    assert "Traceback" not in refused.err
    assert "Group" not in refused.err


def test_a_line_without_end_is_refused_before_it_fills_the_memory(gate: Path) -> None:
    refused = rollout("gates", "replay", "--gate", gate, "/dev/zero")

    assert refused.code == 2
    assert refused.err == "/dev/zero: line 1: is longer than 1,000,000 characters, which none may be\n"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[" * 3_000, ":1: nested deeper than 20 levels"),
        ("a: &a [x]\n" + "".join(f"b{n}: &b{n} [{f'*b{n - 1}, ' * 9 if n else '*a'}]\n" for n in range(9)), "values"),
        ("kind: versus_control\nkind: threshold\n", ":2: key 'kind' stands twice, first on line 1"),
        ("kind: 2026-13-45\n", ": gate: kind: Input should be 'versus_control'"),
        (f"{GATE}interval: 0s\n", ": gate: interval: longer than nothing, such as 1m, got '0s'"),
        ("", ":1: the file is empty"),
    ],
    ids=["deep", "a bomb", "twice", "no date", "no length", "empty"],
)
def test_a_gate_file_is_read_as_carefully_as_a_plan(
    run: Run, gate: Path, tmp_path: Path, written: str, said: str
) -> None:
    gate.write_text(written)
    intervals = tmp_path / "intervals.jsonl"
    intervals.write_text(line(0))
    refused = run({}, "gates", "replay", "--gate", gate, intervals)
    assert refused.code == 2
    assert said in refused.err
    assert len(refused.err) < 1_000


def test_a_gate_that_cannot_be_judged_is_refused_with_its_file_and_field(run: Run, gate: Path, tmp_path: Path) -> None:
    gate.write_text("kind: versus_control\nmax_difference: 0.01\n")
    intervals = tmp_path / "intervals.jsonl"
    intervals.write_text(line(0))
    refused = run({}, "gates", "replay", "--gate", gate, intervals)
    assert refused.code == 2
    assert f"{gate}: gate: max_difference: a share is written with its percent sign" in refused.err
    missing = run({}, "gates", "replay", "--gate", tmp_path / "none.yaml", intervals)
    assert missing.code == 2
    assert "none.yaml: No such file or directory" in missing.err
