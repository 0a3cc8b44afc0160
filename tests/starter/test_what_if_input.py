"""What `rollout what-if` is given is used, or refused with its place and what is allowed; what it saves can be read."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.recorded_lines import read_recording, written
from starter.plan_file import load_plan
from tests.starter.command_line import Run
from tests.starter.played_metrics import in_file, minutes


def a_total_of(written: str) -> str:
    return f'{{"metric": "requests", "end": "2026-11-23T12:00Z", "all": {{"total": {written}}}}}'


LONGEST_LINE = 500


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 1: not JSON"),
        ("[" * 100_000, "line 1: nested deeper than 20 levels; each line is one interval"),
        ('{"metric": "requests", "all": ' + "[" * 100_000, "line 1: all: nested deeper than 20 levels"),
        ('{"metric": "requests", "all": {"total": ' + "9" * 6_000, "line 1: total: a number of more than 300 digits"),
        (a_total_of("9" * 400), "line 1: all.total: Input should be less than or equal to 1000000000000000, got 99"),
        (a_total_of("[" * 900 + "]" * 900), "line 1: all.total: Input should be a valid integer, got [[["),
        (
            '{"metric": "requests", "end": "2026-11-23T12:00:00Z", "all": {"total": 9, "total": 1}}',
            "line 1: total: stands twice, as 9 and as 1",
        ),
        ('{"metric": "requests" "end"', "line 1: not JSON: Expecting ',' delimiter: line 1 column 23"),
        ('{"metric": "\\ud800", "end": "2026-11-23T12:00:00Z"}', r"metric: '\ud800' is none of the plan's metrics"),
        (
            '{"metric": "requests", "end": "2026-11-23T12:00Z", "all": {"bounds_ms": [10, 10], "counts": [1, 1, 1]}}',
            "line 1: all: bounds_ms ascends",
        ),
        (
            '{"metric": "requests", "end": "2026-11-23T12:00Z", "all": {"bounds_ms": [10, 20], "counts": [1, -1, 1]}}',
            "line 1: all: counts has no entry below 0",
        ),
        (
            '{"metric": "requests", "end": "2026-11-23T12:00:00Z", "all": {"total": 1%s, "bad": 0}}' % ("0" * 400),
            "line 1: all.total: Input should be less than or equal to 1000000000000000, got 1000",
        ),
        (
            '{"metric": "requests", "end": "2026-11-23T12:00:00Z", "all": {"bounds_ms": [1], "counts": [1, 1%s]}}'
            % ("0" * 20),
            "line 1: all: counts are at most 1,000,000,000,000,000 in all",
        ),
        ("[]", "line 1: [] is no interval"),
        ('{"metric": "requests", "end": "0001-01-01T00:00:00Z"}', "line 1: end: Input should be greater than or equal"),
        ('{"metric": "requests", "end": "9999-12-31T23:59:00Z"}', "line 1: end: Input should be less than"),
        (
            '{"metric": "requests", "end": "2026-11-23T12:00:00Z", "all": {"bounds_ms": [1, NaN], "counts": [1, 2]}}',
            "line 1: all.bounds_ms.1: Input should be a finite number, got nan",
        ),
        ('{"metric": "nope", "end": "2026-11-23T12:00:00Z"}', "metric: 'nope' is none of the plan's metrics: requests"),
        ('{"metric": "requests"}', "line 1: end: is missing"),
        ('{"metric": "requests", "end": "noon"}', "line 1: end: a time with its zone is expected, such as 2026-"),
        ('{"metric": "requests", "end": 1764000000}', "line 1: end: a time with its zone is expected, such as 2026-"),
        ('{"metric": "requests", "end": "2026-11-23T12:00:30Z"}', "end: intervals end at multiples of the plan's 1m"),
        (a_total_of("true"), "line 1: all.total: a number is expected, got True"),
        ("{\n", "line 1: not JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
        (
            '{"metric": "requests", "end": "2026-11-23T12:00:00Z", "treated": {"total": 1, "bad": 2}}',
            "line 1: treated: bad is at most total (1), got 2",
        ),
        ('{"metric": "requests", "end": "2026-11-23T12:00:00Z", "treatd": {}}', "line 1: treatd: "),
        ("", "holds no interval"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_field(run: Run, plan: Path, line: str, problem: str) -> None:
    file = plan.parent / "wrong.jsonl"
    file.write_text(line, encoding="utf-8")

    said = run({}, "what-if", plan, "--data", file)

    assert said.code == 2
    assert said.err.startswith(f"{file}: ")
    assert problem in said.err
    assert len(said.err) < LONGEST_LINE


def test_a_line_without_end_is_refused_before_it_fills_the_memory(run: Run, plan: Path) -> None:
    said = run({}, "what-if", plan, "--data", "/dev/zero")

    assert said.code == 2
    assert said.err == "/dev/zero: line 1: is longer than 1,000,000 characters, which none may be\n"


def test_a_start_that_no_clock_can_be_set_to_is_refused(run: Run, plan: Path) -> None:
    for year in ("0001", "9999"):
        said = run({}, "what-if", plan, "--from", f"{year}-01-01T00:00+00:00", "--to", "2026-11-24T12:00Z")
        assert said.code == 2
        assert said.err.startswith(f"--from '{year}-01-01T00:00+00:00': a time from 1970 on and before 9000")


def test_an_end_before_the_start_is_refused_wherever_the_data_come_from(run: Run, plan: Path) -> None:
    data = in_file(plan.parent, minutes(5))
    for source in ((), ("--data", data)):
        said = run({}, "what-if", plan, *source, "--from", "2026-11-23T12:04Z", "--to", "2026-11-23T12:03Z")
        assert said.code == 2
        assert said.err == "--to: later than --from (2026-11-23 12:04:00+00:00), got 2026-11-23 12:03:00+00:00\n"


def test_an_end_before_the_file_begins_is_refused_too(run: Run, plan: Path) -> None:
    data = in_file(plan.parent, minutes(5))
    said = run({}, "what-if", plan, "--data", data, "--to", "2026-11-01T00:00Z")
    start, end = "2026-11-23 12:00:00+00:00", "2026-11-01 00:00:00+00:00"
    assert (said.code, said.err) == (2, f"--to: later than the rollout's start ({start}), got {end}\n")


def test_a_file_that_windows_wrote_is_read_as_any_other(run: Run, plan: Path) -> None:
    data = plan.parent / "data.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\r\n" for row in minutes(5)), encoding="utf-8-sig", newline="")

    said = run({}, "what-if", plan, "--data", data)
    assert (said.code, said.err) == (1, "")
    assert "the data end in canary" in said.out


def test_what_is_saved_can_be_read_again(plan: Path) -> None:
    loaded = load_plan(plan)
    recording = read_recording(map(json.dumps, minutes(5)), loaded.metrics, loaded.check_interval)
    recording.delays["requests"] = timedelta(seconds=5)

    assert read_recording(written(recording), loaded.metrics, loaded.check_interval) == recording


def test_a_rehearsal_without_data_or_a_span_asks_for_either(run: Run, plan: Path) -> None:
    said = run({}, "what-if", plan, "--from", "2026-11-23T12:00:00Z")

    assert said.code == 2
    assert "give --data FILE, or both --from and --to" in said.err


def test_a_file_that_is_not_there_or_is_no_text_is_refused_in_words(run: Run, plan: Path, tmp_path: Path) -> None:
    none, binary = tmp_path / "none", tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    assert run({}, "what-if", plan, "--data", none).err == f"{none}: No such file or directory\n"
    assert run({}, "what-if", plan, "--data", binary).err == f"{binary}: not UTF-8 text\n"
