"""`rollout what-if`: a rollout played on recorded metrics, without anything it could touch."""

from datetime import timedelta
from pathlib import Path

from tests.rollout.samples import MINUTE, NOON
from tests.starter.command_line import Run
from tests.starter.played_metrics import PLAN, Row, changed, in_file, minutes, played


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
