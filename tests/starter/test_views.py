from collections.abc import Sequence
from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console

from rollout.flags import OFF, Audience, Exposure, FlagSnapshot
from rollout.holds import why_held
from rollout.progress import Event, Rollback, RollbackStep, RolloutProgress, RolloutStatus, SwitchedOff
from rollout.verdict import Verdict
from rollout.watch import WatchBeat
from starter.flag_views import shown_to
from starter.outcome import ExitCode
from starter.rollouts import Observation, PendingCall, newest, ui_link, workflow_id_of
from starter.start_command import told as told_of_the_start
from starter.views import BAR_WIDTH, event_line, rollout_view
from starter.watching import Lines, Screen
from tests.rollout.progress_samples import HOUR, MINUTE, NOON, in_canary, judgement, soak


def observation(
    progress: RolloutProgress | None, latest: WatchBeat | None = None, pending: Sequence[PendingCall] = ()
) -> Observation:
    return Observation(
        workflow_id="rollout/request-isolation",
        run_id="run-1",
        execution="running",
        started_at=NOON,
        closed_at=None,
        history_length=1,
        progress=progress,
        latest=latest,
        pending=tuple(pending),
    )


def beat(credit: timedelta, *, later: timedelta = MINUTE) -> WatchBeat:
    newer = (judgement("backend_errors", Verdict.FAIL, "+1.42 points"),)
    return WatchBeat(soak=soak(credit, until=NOON + later), judgements=newer, as_of=NOON + later)


def shown(seen: Observation) -> list[str]:
    console = Console(file=StringIO(), record=True, width=200)
    console.print(rollout_view(seen, "http://ui/run-1"))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_rollout_is_shown_with_its_stages_gates_traffic_and_timeline() -> None:
    lines = shown(observation(in_canary()))
    assert lines[0] == "request-isolation: soaking in canary, exposed to 10%"
    assert "next     then staged (50%)" in lines
    assert "ui       http://ui/run-1" in lines
    assert any(line.startswith("canary") and line.endswith("12 h of 48 h  UNKNOWN") for line in lines)
    gates = [line.split() for line in lines if line.startswith("backend_")]
    assert gates == [
        ["backend_p95", "–", "≤", "+1", "point", "48,211", "UNKNOWN"],
        ["backend_errors", "+0.02", "points", "≤", "+1", "point", "48,211", "PASS"],
    ]
    assert "traffic  backend: backend-r2 100 %" in lines
    assert lines[-1] == "11:59:00 flags    features are on for 10% (kim)"


def test_a_start_whose_gates_are_still_tried_is_not_called_a_start_of_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The trial of many gates takes longer than a command waits."""
    trying = in_canary(RolloutStatus.STARTING).model_copy(update={"why": "", "next": ""})

    assert told_of_the_start(observation(trying), None, json=False) is ExitCode.DONE

    assert capsys.readouterr().out == (
        "rollout/request-isolation is started and recorded; it still tries its gates, and may yet be refused.\n"
        "Next: `rollout status request-isolation` says whether it goes ahead\n"
    )


@pytest.mark.parametrize("progress", [in_canary(), None], ids=["with its record", "without a worker"])
@pytest.mark.parametrize("execution", ["terminated", "timed_out"])
def test_a_rollout_that_was_ended_from_outside_is_named_with_what_to_do(
    execution: str, progress: RolloutProgress | None
) -> None:
    seen = observation(progress).model_copy(update={"execution": execution})
    first = " ".join(shown(seen)[:2])
    assert f"is {execution.replace('_', ' ')}: nobody watches what it may still expose" in first
    assert "`rollout doctor`" in first
    assert "`rollout emergency-rollback request-isolation --reason …`" in first


@pytest.mark.parametrize("execution", ["running", "completed"])
def test_a_rollout_that_runs_or_ended_by_itself_is_not_called_unwatched(execution: str) -> None:
    seen = observation(in_canary()).model_copy(update={"execution": execution})
    assert not any("nobody watches" in line for line in shown(seen))


def test_what_the_watch_found_meanwhile_is_shown_in_place_of_the_last_transition() -> None:
    progress = newest(observation(in_canary(), beat(13 * HOUR)))
    assert progress is not None
    assert progress.current.credit == 13 * HOUR
    assert [found.verdict for found in progress.current.judgements] == [Verdict.FAIL]
    assert [stage.name for stage in progress.stages] == [stage.name for stage in in_canary().stages]


def test_what_holds_is_said_as_it_is_now_and_not_as_it_was_when_the_hold_began() -> None:
    held = soak(HOUR).model_copy(update={"standing": "holding", "causes": ("backend_errors", "backend_p95")})
    progress = in_canary(RolloutStatus.HOLDING)
    progress.current.soak_state = held
    progress.current.judgements = (
        judgement("backend_errors", Verdict.UNKNOWN, "no data"),
        judgement("backend_p95", Verdict.FAIL, "+40%"),
    )
    progress.why = str(why_held(progress.current))
    one_passes = (judgement("backend_errors", Verdict.PASS, "+0%"), judgement("backend_p95", Verdict.FAIL, "+50%"))
    later = WatchBeat(
        soak=held.model_copy(update={"judged_until": NOON + MINUTE}), judgements=one_passes, as_of=NOON + MINUTE
    )

    renewed = newest(observation(progress, later))

    assert renewed is not None
    assert renewed.why == one_passes[1].reason
    waiting = progress.model_copy(update={"why": "resumed, but the stage before it is held"})
    still = newest(observation(waiting, later))
    assert still is not None
    assert still.why == waiting.why


@pytest.mark.parametrize(
    ("status", "later"),
    [(RolloutStatus.SOAKING, -MINUTE), (RolloutStatus.ROLLING_BACK, MINUTE), (RolloutStatus.COMPLETED, MINUTE)],
)
def test_an_older_beat_or_one_of_a_finished_soak_changes_nothing(status: RolloutStatus, later: timedelta) -> None:
    progress = in_canary(status)
    assert newest(observation(progress, beat(13 * HOUR, later=later))) is progress


def test_while_a_stage_is_waited_for_the_newest_of_the_stage_before_it_is_shown() -> None:
    progress = in_canary(RolloutStatus.AWAITING_APPROVAL)
    canary, internal = progress.stages[2], progress.stages[1]
    canary.state, canary.soak_state, canary.judgements = "entering", None, ()
    internal.soak_state = soak(24 * HOUR)
    lines = shown(observation(progress, latest=beat(24 * HOUR)))
    assert any(line.startswith("gate in internal") for line in lines)
    assert any(line.startswith("backend_errors") and line.endswith("FAIL") for line in lines)


def test_who_did_something_is_said_once() -> None:
    told = Event(at=NOON, kind="command", text="paused by kim: lunch", by="kim")
    assert event_line(told, NOON).plain == "12:00:00 command  paused by kim: lunch"
    assert event_line(told.model_copy(update={"text": "flags are off"}), NOON).plain.endswith("flags are off (kim)")


def test_an_event_of_another_day_than_the_newest_is_told_with_its_day() -> None:
    told = Event(at=NOON, kind="command", text="paused by kim: lunch", by="kim")
    progress = in_canary()
    progress.timeline = [told, told.model_copy(update={"at": NOON + timedelta(days=2)})]

    lines = [line for line in shown(observation(progress)) if "paused by kim" in line]

    assert [line.split(" command")[0] for line in lines] == ["2026-11-23 12:00:00", "12:00:00"]


def test_calls_that_fail_and_are_tried_again_are_told_and_benign_ones_are_not() -> None:
    calls = [
        PendingCall(activity="watch_gates", attempt=700, last_failure=""),
        PendingCall(activity="shift_traffic", attempt=3, last_failure="PERMISSION_DENIED"),
    ]
    lines = shown(observation(in_canary(), pending=calls))
    assert lines[-1] == "tried again: shift_traffic, attempt 3: PERMISSION_DENIED"
    assert not any("watch_gates" in line for line in lines)


def test_a_flag_that_a_gate_turned_off_alone_is_shown_with_the_command_that_turns_it_on_again() -> None:
    held = in_canary(RolloutStatus.HOLDING)
    held.flags["websocket_isolation"] = OFF
    held.exposed_stage = "canary"
    held.switched_off["websocket_isolation"] = SwitchedOff(gate="websocket_events", why="Events: none", at=NOON)

    told = " ".join(shown(observation(held)))

    assert (
        "off      websocket_isolation was turned off alone by gate websocket_events at 2026-11-23 12:00 (Events: none)"
        in told
    )
    assert "`rollout update-stage --flag websocket_isolation --stage canary" in told


def test_a_rollback_is_shown_with_the_seconds_of_each_step() -> None:
    progress = in_canary(RolloutStatus.ROLLED_BACK)
    progress.rollback = Rollback(
        cause="gate",
        reason="errors",
        by="gate backend_errors",
        began_at=NOON,
        verified_at=NOON + timedelta(seconds=4.2),
        steps=[RollbackStep(name="flags off", seconds=0.31)],
        detected_after=61.0,
    )
    lines = shown(observation(progress))
    assert "rollback because of gate, by gate backend_errors: errors" in lines
    assert "    61.0 s from the breaching interval to the decision" in lines
    assert "     0.3 s flags off" in lines
    assert "     4.2 s until everything was read back as safe" in lines


def test_what_people_write_is_no_markup() -> None:
    progress = in_canary()
    progress.why = "[bold]not bold[/bold] [/]"
    assert "why      [bold]not bold[/bold] [/]" in shown(observation(progress))


def told(looks: Sequence[Observation]) -> list[str]:
    console = Console(file=StringIO(), record=True, width=200)
    with Lines(console) as lines:
        for look in looks:
            lines.show(look)
    return console.export_text().splitlines()


def test_following_in_lines_tells_each_event_once_and_the_standing_when_it_changes() -> None:
    first, second, last = in_canary(), in_canary(), in_canary(RolloutStatus.HOLDING)
    for progress in (second, last):
        progress.timeline.append(Event(at=NOON, kind="hold", text="holding: no data"))
    assert told([observation(first), observation(first), observation(second), observation(last)]) == [
        "11:59:00 flags    features are on for 10% (kim)",
        "request-isolation: soaking in canary, stage 3 of 4, exposed to 10%, 12 h of 48 h of soak credit",
        "12:00:00 hold     holding: no data",
        "request-isolation: holding in canary, stage 3 of 4, exposed to 10%, 12 h of 48 h of soak credit",
    ]


def test_a_stage_that_a_person_extended_is_not_shown_as_full_before_it_has_that_credit_too() -> None:
    progress = in_canary()
    progress.current.extended = timedelta(hours=48)
    [row] = [line for line in shown(observation(progress)) if line.startswith("canary ")]
    assert "12 h of 96 h" in row
    assert row.count("\u2501") < BAR_WIDTH // 4
    [told_once] = [line for line in told([observation(progress)]) if line.startswith("request-isolation: ")]
    assert told_once.endswith("12 h of 96 h of soak credit")


def test_following_in_lines_goes_on_after_the_oldest_events_were_dropped() -> None:
    events = [Event(at=NOON + MINUTE * n, kind="gate", text=f"event {n}") for n in range(5)]
    first, second = in_canary(), in_canary()
    first.timeline, second.timeline = events[:3], events[2:]
    printed = told([observation(first), observation(second)])
    assert [line.rpartition(" ")[2] for line in printed if "event" in line] == ["0", "1", "2", "3", "4"]


def test_following_on_a_terminal_redraws_the_whole_view_in_place() -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with Screen(console, None) as live:
        live.show(observation(in_canary()))
        live.show(observation(in_canary(RolloutStatus.HOLDING)))
    written = screen.getvalue()
    assert "soaking in canary" in written
    erase_line_and_go_up = "\x1b[2K\x1b[1A"
    assert "holding in canary" in written.rpartition(erase_line_and_go_up)[2]


def test_a_silent_rollout_is_told_once() -> None:
    silent = observation(None).model_copy(update={"silence": "no worker answered within 5 s"})
    assert told([silent, silent]) == ["rollout/request-isolation: no worker answered within 5 s"]


def test_a_rollout_goes_by_its_name_with_or_without_the_prefix() -> None:
    assert workflow_id_of("request-isolation") == workflow_id_of("rollout/request-isolation")


def test_a_link_into_the_ui_is_given_where_the_ui_is_known() -> None:
    assert ui_link(None, "default", "rollout/x", "run") is None
    assert ui_link("http://ui", "a b", "rollout/x", "run") == "http://ui/namespaces/a%20b/workflows/rollout%2Fx/run"


def test_the_codes_are_the_documented_ones() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 130]


@pytest.mark.parametrize(("users", "said"), [(("kim",), "1 named user"), (("kim", "lee"), "2 named users")])
def test_users_that_an_audience_names_are_counted(users: tuple[str, ...], said: str) -> None:
    audience = Audience(domains=(), users=users)
    internal = Exposure(exposure="audience", bp=0, stage="internal")
    held = {"v": 1, "epoch": 1, "rev": 1, "latch": False, "ms": 0, "h": "", "cohort": None}
    snapshot = FlagSnapshot.model_validate({**held, "audience": audience, "flags": {"basket": internal}})
    assert shown_to(internal, snapshot) == said
