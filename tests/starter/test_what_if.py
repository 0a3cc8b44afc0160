"""`rollout what-if`: a rollout played on recorded metrics, without anything it could touch."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rollout.recorded_lines import read_recording, written
from rollout.what_if import WhatIf
from starter.plan_file import load_plan
from tests.rollout.samples import MINUTE, NOON
from tests.starter.conftest import Run

PLAN = """
name: small
description: One gate against control
environment: production
services: {shop: {project: example-shop, region: europe-west1, service: shop}}
check_interval: 60s
baseline: {window: 1h}
guard: 1m
notifications: {channels: [log]}
metrics:
  requests:
    type: custom.googleapis.com/shop/requests
    value: count
    bad: {label: metric.labels.outcome, values: [error]}
    groups: {by: revision, service: shop}
gates:
  errors:
    kind: versus_control
    title: Errors
    metric: requests
    statistic: bad_share
    group: treated
    max_difference: 1%
    window: 10m
    minimum_sample: 100
    action: rollback
    page_after: 15m
stages:
  - {name: canary, deploy: true, traffic: [0%, 10%], traffic_hold: 10m, exposure: off, soak: 1h, gates: [errors]}
  - {name: everybody, traffic: [50%], exposure: off, soak: 1h, gates: [errors]}
"""
Row = dict[str, Any]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN, encoding="utf-8")
    return file


def minutes(count: int, *, without: range = range(0), bad_from: int | None = None) -> Iterator[Row]:
    for minute in range(1, count + 1):
        if minute not in without:
            bad = 40 if bad_from is not None and minute >= bad_from else 2
            yield {
                "metric": "requests",
                "end": (NOON + minute * MINUTE).isoformat(),
                "treated": {"total": 1000, "bad": bad},
                "control": {"total": 9000, "bad": 18},
            }


def in_file(directory: Path, rows: Iterator[Row]) -> Path:
    file = directory / "data.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def played(run: Run, plan: Path, rows: Iterator[Row]) -> WhatIf:
    said = run({}, "what-if", plan, "--data", in_file(plan.parent, rows), "--json")
    assert said.code in (0, 1), said.err
    found = WhatIf.model_validate_json(said.out)
    assert said.code == (0 if found.outcome == "completed" else 1)
    return found


def test_healthy_metrics_pass_every_stage_and_a_gap_holds_and_moves_the_promotion_by_its_length(
    run: Run, plan: Path
) -> None:
    whole, gap = played(run, plan, minutes(150)), played(run, plan, minutes(150, without=range(20, 27)))

    assert (whole.outcome, gap.outcome) == ("completed", "completed")
    assert whole.stages[0].held == ()
    assert gap.ended_at - whole.ended_at == 7 * MINUTE
    assert gap.stages[0].passed_at is not None
    assert whole.stages[0].passed_at is not None
    assert gap.stages[0].passed_at - whole.stages[0].passed_at == 7 * MINUTE
    (held,) = gap.stages[0].held
    assert held.causes == ("errors",)
    assert held.since == NOON + 19 * MINUTE


def test_what_arrives_late_earns_its_credit_and_moves_nothing(run: Run, plan: Path) -> None:
    late = {20, 21, 22, 23, 24, 25, 26}
    rows: list[Row] = []
    for minute, row in enumerate(minutes(150), start=1):
        rows.append(row | {"arrived": (NOON + 29 * MINUTE).isoformat()} if minute in late else row)

    found, whole = played(run, plan, iter(rows)), played(run, plan, minutes(150))

    assert found.outcome == "completed"
    assert found.stages[0].held
    assert found.stages[0].passed_at == whole.stages[0].passed_at


def test_a_breach_is_rolled_back_in_its_stage_with_its_interval(run: Run, plan: Path) -> None:
    found = played(run, plan, minutes(150, bad_from=90))

    assert found.outcome == "rolled_back"
    (back,) = [event for event in found.timeline if event.kind == "rollback"]
    assert (back.stage, back.gate) == ("everybody", "errors")
    assert back.interval is not None
    assert NOON + 90 * MINUTE <= back.interval <= NOON + 100 * MINUTE
    assert timedelta() < back.at - back.interval <= MINUTE


WITH_FLAGS = (
    PLAN.replace("baseline:", "flags: [sockets, basket]\nbaseline:")
    .replace("by: revision, service: shop", "by: label, label: metric.labels.group, treated: yes, control: no")
    .replace(
        "gates:\n  errors:",
        """\
  events:
    type: custom.googleapis.com/shop/events
    value: count
    bad: {label: metric.labels.outcome, values: [error]}
    groups: {by: label, label: metric.labels.group, treated: yes, control: no}
gates:
  events:
    {kind: threshold, title: Events, metric: events, statistic: bad_share, group: treated, at_most: 2%, window: 10m,
     minimum_sample: 100, action: hold, page_after: 15m, switch_off: {silent: [sockets]}}
  errors:""",
        1,
    )
    .replace(
        "traffic: [0%, 10%], traffic_hold: 10m, exposure: off", "traffic: [0%, 100%], traffic_hold: 10m, exposure: 10%"
    )
    .replace("traffic: [50%], exposure: off", "exposure: 50%")
    .replace("gates: [errors]", "gates: [errors, events]")
)


def test_a_flag_that_a_silent_gate_would_have_turned_off_alone_is_told_once_with_what_was_not_played(
    run: Run, tmp_path: Path
) -> None:
    plan = tmp_path / "flags.yaml"
    plan.write_text(WITH_FLAGS, encoding="utf-8")
    silent = range(30, 60)
    rows = [*minutes(200), *({**row, "metric": "events"} for row in minutes(200, without=silent))]

    found = played(run, plan, iter(rows))

    (off,) = [event for event in found.timeline if event.kind == "flags"]
    assert off.text.startswith("events turns sockets off alone; a rollout holds until a person decides")
    assert off.at - (NOON + 44 * MINUTE) <= 2 * MINUTE
    assert any(said.endswith("as if these had stayed on: sockets") for said in found.not_played)
    assert found.outcome == "completed"


def test_data_that_end_early_are_said_to_and_people_read_what_was_not_played(run: Run, plan: Path) -> None:
    said = run({}, "what-if", plan, "--data", in_file(plan.parent, minutes(30)))

    assert said.code == 1
    assert "small would not have been finished" in said.out
    assert "the data end in canary, with 30 min of 1 h of soak credit" in said.out
    assert "people are taken to do nothing" in said.out


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
        ('{"metric": "requests", "end": "noon"}', "line 1: end: "),
        ('{"metric": "requests", "end": "2026-11-23T12:00:30Z"}', "end: intervals end at multiples of the plan's 1m"),
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


def test_what_is_saved_can_be_read_again(plan: Path) -> None:
    loaded = load_plan(plan)
    recording = read_recording(map(json.dumps, minutes(5)), loaded.metrics, loaded.check_interval)
    recording.delays["requests"] = timedelta(seconds=5)

    assert read_recording(written(recording), loaded.metrics, loaded.check_interval) == recording


def test_a_rehearsal_without_data_or_a_span_asks_for_either(run: Run, plan: Path) -> None:
    said = run({}, "what-if", plan, "--from", "2026-11-23T12:00:00Z")

    assert said.code == 2
    assert "give --data FILE, or both --from and --to" in said.err


def changed(plan: Path, *changes: tuple[str, str]) -> Path:
    """The plan with some of its text replaced."""
    text = plan.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    plan.write_text(text, encoding="utf-8")
    return plan


def test_a_stage_waits_for_its_window_and_what_was_entered_before_goes_on_being_judged(run: Run, plan: Path) -> None:
    changed(plan, ("guard: 1m\n", "guard: 1m\nwindows: {time_zone: UTC, hours: '15:00-12:30'}\n"))

    waiting = played(run, plan, minutes(250))
    failing = played(run, plan, minutes(250, bad_from=120))

    canary, everybody = waiting.stages
    assert waiting.outcome == "completed"
    assert canary.passed_at is not None
    assert NOON + 60 * MINUTE <= canary.passed_at <= NOON + 62 * MINUTE
    assert everybody.entered_at == NOON + timedelta(hours=3)
    (waits,) = [event for event in waiting.timeline if event.kind == "window"]
    assert (waits.at, waits.stage) == (canary.passed_at, "canary")
    assert failing.outcome == "rolled_back"
    (back,) = [event for event in failing.timeline if event.kind == "rollback"]
    assert back.stage == "canary"
    assert NOON + 120 * MINUTE <= back.at <= NOON + 131 * MINUTE


def test_a_rollout_that_is_watched_after_its_last_stage_can_still_go_back(run: Run, plan: Path) -> None:
    changed(plan, ("guard: 1m\n", "guard: 1m\nwatch: 2h\n"))

    healthy = played(run, plan, minutes(250))
    failing = played(run, plan, minutes(250, bad_from=180))
    later = played(run, plan, minutes(250, bad_from=246))
    short = played(run, plan, minutes(200))

    last = healthy.stages[-1].passed_at
    assert last is not None
    assert (healthy.outcome, healthy.ended_at - last) == ("completed", timedelta(hours=2))
    assert failing.outcome == "rolled_back"
    assert failing.stages[-1].passed_at == last
    assert NOON + 180 * MINUTE <= failing.ended_at <= NOON + 191 * MINUTE
    assert (later.outcome, later.ended_at) == ("completed", healthy.ended_at)
    assert short.outcome == "unfinished"


def test_a_gate_that_steps_back_ends_the_rehearsal_a_stage_down_and_in_the_first_stage_goes_back(
    run: Run, plan: Path
) -> None:
    changed(plan, ("action: rollback", "action: step_back"))

    first = played(run, plan, minutes(150, bad_from=40))
    second = played(run, plan, minutes(150, bad_from=90))

    assert (first.outcome, second.outcome) == ("rolled_back", "stepped_back")
    assert second.why.startswith("everybody failed: ")
    (back,) = [event for event in second.timeline if event.kind == "rollback"]
    assert (back.stage, back.gate) == ("everybody", "errors")
    assert (
        "small would have been led one stage down" in run({}, "what-if", plan, "--data", plan.parent / "data.jsonl").out
    )


def test_a_gate_that_would_only_hold_and_fails_beside_one_that_steps_back_asks_for_no_more(
    run: Run, plan: Path
) -> None:
    changed(plan, ("action: rollback", "action: step_back"), ("gates: [errors]", "gates: [errors, again]"))
    again = PLAN.partition("  errors:\n")[2].partition("stages:")[0].replace("rollback", "hold")
    changed(plan, ("stages:", f"  again:\n{again}stages:"))

    found = played(run, plan, minutes(150, bad_from=90))

    assert found.outcome == "stepped_back"
    assert found.why.startswith("everybody failed: ")


def test_conclusive_evidence_ends_a_soak_early_and_not_before_its_minimum(run: Run, plan: Path) -> None:
    whole = played(run, plan, minutes(150))
    changed(plan, ("exposure: off, soak: 1h, gates", "exposure: off, soak: 6h, accelerate: {minimum_soak: 45m}, gates"))

    early = played(run, plan, minutes(150))

    assert early.outcome == "completed"
    assert [stage.credit for stage in early.stages] == [45 * MINUTE] * 2
    assert [stage.credit for stage in whole.stages] == [60 * MINUTE] * 2
    assert sum(event.text.startswith("ends early: ") for event in early.timeline) == 2


COHORTS = (
    PLAN.replace("metrics:\n", "flags: [basket]\ncohort: basket\nmetrics:\n")
    .replace("{by: revision, service: shop}", "{by: cohort, label: metric.labels.cohort, steps: [10%, 50%]}")
    .partition("stages:")[0]
    + """  failures:
    {kind: threshold, title: All errors, metric: requests, statistic: bad_share, group: all, at_most: 50%, window: 10m,
     minimum_sample: 100, action: hold, page_after: 15m}
stages:
  - {name: dark, deploy: true, traffic: [0%, 100%], traffic_hold: 1m, exposure: off, soak: 4h, gates: [failures]}
  - {name: canary, exposure: 10%, soak: 1h, gates: [errors]}
  - {name: half, exposure: 50%, soak: 1h, gates: [errors]}
"""
)


def worse_cohorts(*, until: int, half: bool) -> Iterator[Row]:
    """The first tenth of the users has 3 % errors and the others 1 %, before and after; `half`: of each split."""
    for minute in range(1, until + 1):
        end = (NOON + minute * MINUTE).isoformat()
        yield {
            "metric": "requests", "end": end,
            "treated": {"total": 1000, "bad": 30}, "control": {"total": 9000, "bad": 90},
        }  # fmt: skip
        if half:
            yield {
                "metric": "requests@50%", "end": end,
                "treated": {"total": 5000, "bad": 70}, "control": {"total": 5000, "bad": 50},
            }  # fmt: skip


def test_what_a_cohort_was_worse_by_before_its_exposure_is_allowed_at_each_percentage(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(COHORTS, encoding="utf-8")

    found = played(run, plan, worse_cohorts(until=420, half=True))

    assert (found.outcome, [stage.held for stage in found.stages]) == ("completed", [()] * 3)


def test_a_past_that_is_too_short_to_know_the_cohort_by_allows_nothing(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(COHORTS.replace("soak: 4h", "soak: 2m"), encoding="utf-8")

    assert played(run, plan, worse_cohorts(until=200, half=True)).outcome == "rolled_back"


def test_a_file_that_is_not_there_or_is_no_text_is_refused_in_words(run: Run, plan: Path, tmp_path: Path) -> None:
    none, binary = tmp_path / "none", tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    assert run({}, "what-if", plan, "--data", none).err == f"{none}: No such file or directory\n"
    assert run({}, "what-if", plan, "--data", binary).err == f"{binary}: not UTF-8 text\n"


def test_a_file_that_names_a_cohorts_metric_once_is_taken_for_every_percentage(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(COHORTS, encoding="utf-8")
    said = run({}, "what-if", plan, "--data", in_file(tmp_path, worse_cohorts(until=420, half=False)))

    assert "no data at all" not in said.err
    assert said.code == 0


def test_it_is_so_where_only_a_later_percentage_is_compared(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    counted = "type: run.googleapis.com/request_count, value: count"
    classes = "bad: {label: metric.labels.response_code_class, values: [5xx]}"
    plan.write_text(
        COHORTS.replace("exposure: 10%, soak: 1h, gates: [errors]", "exposure: 10%, soak: 1h, gates: [failures]")
        .replace("title: All errors, metric: requests", "title: All errors, metric: everything")
        .replace("metrics:\n", f"metrics:\n  everything: {{{counted}, {classes}}}\n"),
        encoding="utf-8",
    )
    rows: list[Row] = list(worse_cohorts(until=420, half=False))
    everything: list[Row] = [
        {"metric": "everything", "end": row["end"], "all": {"total": 10_000, "bad": 120}} for row in rows
    ]

    said = run({}, "what-if", plan, "--data", in_file(tmp_path, iter([*rows, *everything])))

    assert said.code == 0, said.err
