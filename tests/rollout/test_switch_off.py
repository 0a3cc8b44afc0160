"""When a gate turns flags off alone: silent for its whole `page_after`, or failing; and when nobody can say."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from rollout.exposure import document_of
from rollout.flags import OFF, Exposure
from rollout.gates import SwitchOff
from rollout.interval_judgement import Answers
from rollout.interval_series import IntervalSeries
from rollout.look import Look, Standing, take_in
from rollout.look_ahead import Visibility
from rollout.measurement import Group, IntervalMeasurement, Sample
from rollout.soak import SoakState, begin, due
from rollout.soak_evidence import of_soak
from rollout.switch_off import SWITCHED_OFF, judge_switched_off
from rollout.verdict import Judgement, Verdict
from rollout.watch import BoundGate, Expected, WatchBeat, WatchRequest, WorthTelling
from tests.rollout.samples import MINUTE, NOON, counts, latencies
from tests.rollout.soaked_gates import gate

SILENT = SwitchOff(silent=("sockets",))
EVENTS = gate(kind="threshold", statistic="p95", at_most="100ms", action="hold", metric="events", title="Events")
ERRORS = gate(kind="versus_control", statistic="bad_share", max_difference="1%", metric="requests", title="Errors")
PAGE_AFTER = EVENTS.page_after // MINUTE
TENTH = document_of(0.1, "canary")

Minute = Mapping[str, Mapping[Group, Sample]]
REQUESTS: Mapping[Group, Sample] = {"treated": counts(120), "control": counts(1_080)}
USUAL: Minute = {"events": {"treated": latencies(400, 10), "control": latencies(3_600, 10)}, "requests": REQUESTS}
SLOW: Minute = {"events": {"treated": latencies(400, 900), "control": latencies(3_600, 10)}, "requests": REQUESTS}
TREATED_SILENT: Minute = {"events": {"control": latencies(3_600, 10)}, "requests": REQUESTS}
ALL_SILENT: Minute = {"requests": REQUESTS}
NOTHING: Minute = {}


def asking(
    off: SwitchOff, shown: Exposure = TENTH, waived: Sequence[str] = (), switched_off: Mapping[str, str] | None = None
) -> WatchRequest:
    events = EVENTS.model_copy(update={"switch_off": off})
    flags = {"sockets": shown, "basket": TENTH}
    return WatchRequest(
        stage="canary",
        soak=begin(NOON, MINUTE),
        target=timedelta(days=30),
        gates={"events": BoundGate(gate=events, treated_share=0.1), "errors": BoundGate(gate=ERRORS)},
        waived=tuple(waived),
        switched_off=dict(switched_off or {}),
        expected=Expected(environment="test", group="shop", fence=1, flags=flags, traffic=()),
    )


def watched(
    request: WatchRequest, minutes: Sequence[Minute], failing: Sequence[int] = (), *, at_once: bool = False
) -> list[tuple[int, WorthTelling, dict[str, str]]]:
    """What was told in which minute, with the flags to turn off; the watch forgets all but its beat in between."""
    told: list[tuple[int, WorthTelling, dict[str, str]]] = []
    standing = Standing(request.soak, of_soak(None, NOON, request.gates), ())
    known = {"events": IntervalSeries(), "requests": IntervalSeries()}
    for number, found in enumerate(minutes, start=1):
        now = NOON + number * MINUTE
        for metric, groups in found.items():
            known[metric].extend([IntervalMeasurement(end=now, groups=dict(groups))])
        if at_once and number < len(minutes):
            continue
        visibility = Visibility(now, {"events": timedelta(), "requests": timedelta()})
        answers = Answers(now, known, {"events": "503"} if number in failing else {})
        ends = due(standing.soak, now)
        standing, transition = take_in(Look(request, answers, ends, {}, visibility), standing)
        if transition is not None:
            told.append((number, transition, dict(standing.switch_off)))
        read = WatchBeat.model_validate_json(standing.beat(now).model_dump_json())
        standing = Standing(read.soak, of_soak(read.evidence, NOON, request.gates), read.judgements)
    return told


def turned_off(told: Sequence[tuple[int, WorthTelling, dict[str, str]]]) -> list[int]:
    return [number for number, _, off in told if off]


@pytest.mark.parametrize("silence", [TREATED_SILENT, ALL_SILENT], ids=["of treated users", "of everybody"])
def test_a_gate_that_is_silent_for_its_time_turns_its_flag_off(silence: Minute) -> None:
    told = watched(asking(SILENT), [*[USUAL] * 5, *[silence] * PAGE_AFTER])

    assert turned_off(told) == [5 + PAGE_AFTER]
    assert told[-1][2] == {"sockets": "events"}


def test_it_says_so_beside_the_hold_that_begins_in_the_same_minute() -> None:
    assert watched(asking(SILENT), [TREATED_SILENT] * PAGE_AFTER) == [(PAGE_AFTER, "hold_began", {"sockets": "events"})]


def test_a_silence_in_which_something_is_heard_begins_anew() -> None:
    half = [TREATED_SILENT] * (PAGE_AFTER - 1)

    assert turned_off(watched(asking(SILENT), [*half, USUAL, *half])) == []


def test_minutes_of_which_nothing_is_known_neither_add_to_a_silence_nor_end_it() -> None:
    minutes = [*[TREATED_SILENT] * 10, *[NOTHING] * 5, *[TREATED_SILENT] * PAGE_AFTER]

    assert turned_off(watched(asking(SILENT), minutes, failing=[3, 4]))[0] == 5 + 2 + PAGE_AFTER


def test_where_nothing_arrives_at_all_no_flag_is_touched() -> None:
    assert turned_off(watched(asking(SILENT), [*[USUAL] * 5, *[NOTHING] * 5 * PAGE_AFTER])) == []


def test_where_the_source_fails_no_flag_is_touched() -> None:
    assert turned_off(watched(asking(SILENT), [USUAL] * 5 * PAGE_AFTER, failing=range(500))) == []


def test_a_failure_turns_off_what_is_named_for_it_and_nothing_else() -> None:
    failing = SwitchOff(failing=("basket",), silent=("sockets",))

    told = watched(asking(failing), [SLOW] * 10)

    assert {flag for _, _, off in told for flag in off} == {"basket"}
    assert [off for _, transition, off in told if transition == "hold_began"] == [{"basket": "events"}]


@pytest.mark.parametrize(
    "request_",
    [
        asking(SILENT, shown=OFF),
        asking(SILENT, waived=["events"]),
        asking(SILENT, switched_off={"sockets": "it is being written"}),
    ],
    ids=["off already", "passed over by a person", "asked for before"],
)
def test_nothing_is_asked_for_that_is_off_or_passed_over_or_asked_for_already(request_: WatchRequest) -> None:
    assert turned_off(watched(request_, [TREATED_SILENT] * 2 * PAGE_AFTER)) == []


def test_how_often_one_looks_changes_nothing() -> None:
    minutes = [*[USUAL] * 5, *[TREATED_SILENT] * PAGE_AFTER]

    assert watched(asking(SILENT), minutes, at_once=True)[-1][1:] == watched(asking(SILENT), minutes)[-1][1:]


def test_a_flag_that_is_off_alone_holds_until_a_person_decides() -> None:
    judgement = judge_switched_off({"sockets": "sockets was turned off"}, NOON)

    assert judgement is not None
    assert (judgement.gate, judgement.verdict, judgement.reason) == (
        SWITCHED_OFF,
        Verdict.FAIL,
        "sockets was turned off",
    )
    assert judge_switched_off({}, NOON) is None


def test_what_is_stored_of_gates_that_turn_nothing_off_is_what_it_always_was() -> None:
    assert "silences" not in begin(NOON, MINUTE).model_dump()
    said = Judgement(gate="events", verdict=Verdict.PASS, reason="", as_of=NOON)
    assert "silent" not in said.model_dump()
    assert SoakState.model_validate(begin(NOON, MINUTE).model_dump()).silences == {}
