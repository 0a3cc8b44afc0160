from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.flags import OFF, Exposure
from rollout.progress import Event, Rollback, RollbackStep, RolloutProgress, RolloutStatus
from rollout.soak import WITHOUT_END
from rollout.traffic import Candidate, ServiceRef, TrafficSplit
from rollout.verdict import Verdict
from rollout.wording import (
    as_of,
    current_details_markdown,
    duration_in_words,
    judgements_in_a_line,
    stage_verdict,
    status_line,
    worst_first,
)
from tests.rollout.progress_samples import HOUR, MINUTE, NOON, in_canary, judgement, soak


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(), "0 s"),
        (timedelta(milliseconds=68), "68 ms"),
        (timedelta(seconds=1), "1 s"),
        (timedelta(seconds=3.27), "3.2 s"),
        (timedelta(seconds=9.99), "9.9 s"),
        (timedelta(seconds=42.9), "42 s"),
        (timedelta(seconds=90), "1 min 30 s"),
        (timedelta(minutes=12), "12 min"),
        (timedelta(hours=46, minutes=12, seconds=59), "46 h 12 min"),
        (timedelta(days=7), "168 h"),
        (-timedelta(minutes=5), "-5 min"),
    ],
)
def test_a_duration_is_said_in_at_most_two_units(duration: timedelta, words: str) -> None:
    assert duration_in_words(duration) == words


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=3000)))
def test_a_duration_is_never_said_to_be_longer_than_it_is(duration: timedelta) -> None:
    size = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001}
    words = duration_in_words(duration).split()
    said = sum(float(number) * size[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert said <= duration.total_seconds() + 0.0005


def test_a_rollout_in_one_line() -> None:
    assert status_line(in_canary()) == (
        "request-isolation: soaking in canary, stage 3 of 4, exposed to 10%, 12 h of 48 h of soak credit"
    )


def test_a_stage_that_a_person_extended_is_shown_against_all_the_credit_it_needs() -> None:
    progress = in_canary()
    progress.current.extended = timedelta(hours=6)
    assert status_line(progress).endswith(", 12 h of 54 h of soak credit")
    assert "12 h of 54 h" in without_room(current_details_markdown(progress))


@pytest.mark.parametrize("status", RolloutStatus)
def test_every_status_has_its_words(status: RolloutStatus) -> None:
    line = status_line(in_canary(status))
    assert line.startswith("request-isolation: ")
    assert "_" not in line.removeprefix("request-isolation: ")


def test_a_finished_rollback_says_how_long_it_took() -> None:
    progress = in_canary(RolloutStatus.ROLLED_BACK)
    progress.rollback = Rollback(
        cause="emergency", reason="r", by="kim", began_at=NOON, verified_at=NOON + timedelta(seconds=4.2)
    )
    assert status_line(progress).endswith("rolled back from canary, exposed to 10%, verified in 4.2 s")


def test_a_look_in_one_line_tells_the_worst_first_and_why() -> None:
    line = judgements_in_a_line(soak(12 * HOUR), 48 * HOUR, in_canary().current.judgements)
    assert line == (
        "12 h of 48 h credit, passing · backend_p95 UNKNOWN: backend_p95: because · "
        "backend_errors PASS +0.02 points (limit ≤ +1 point)"
    )


def test_a_look_before_the_first_interval_says_so() -> None:
    assert judgements_in_a_line(soak(timedelta()), HOUR, ()) == "0 s of 1 h credit, passing: no interval is closed yet"


def test_a_look_that_waits_for_no_credit_says_of_none_how_much_is_wanted() -> None:
    line = judgements_in_a_line(soak(HOUR), WITHOUT_END, ())
    assert line == "1 h credit, passing: no interval is closed yet"


def test_gates_are_listed_from_what_matters_most_to_what_matters_least() -> None:
    shuffled = [Verdict.PASS, Verdict.FAIL, Verdict.IDLE, Verdict.SUSPECT, Verdict.UNKNOWN, Verdict.ERROR]
    listed = worst_first(judgement(f"gate-{verdict}", verdict) for verdict in shuffled)
    assert [found.verdict for found in listed] == [
        Verdict.FAIL,
        Verdict.SUSPECT,
        Verdict.ERROR,
        Verdict.UNKNOWN,
        Verdict.IDLE,
        Verdict.PASS,
    ]


def test_a_stage_is_said_to_be_what_its_gates_say_while_it_soaks() -> None:
    assert [stage_verdict(stage) for stage in in_canary().stages] == ["passed", "passed", "UNKNOWN", "–"]


def test_what_is_newest_in_a_record_dates_it() -> None:
    progress = in_canary()
    assert as_of(progress) == NOON
    progress.timeline.append(Event(at=NOON + MINUTE, kind="command", text="paused"))
    assert as_of(progress) == NOON + MINUTE


def before_canary(status: RolloutStatus) -> RolloutProgress:
    """The stage before it has passed, and its gates go on being judged."""
    progress = in_canary(status)
    canary, internal = progress.stages[2], progress.stages[1]
    canary.state, canary.soak_state, canary.judgements = "entering", None, ()
    internal.soak_state, internal.judgements = soak(24 * HOUR), (judgement("isolation", Verdict.PASS),)
    return progress


def without_room(table: str) -> str:
    return table.replace("\u00a0", "")


def test_columns_keep_apart_in_a_page_that_gives_them_no_room() -> None:
    rows = [line for line in current_details_markdown(in_canary()).splitlines() if line.startswith("| ")]
    for row in rows:
        *before, last = row.removesuffix(" |").split(" | ")
        assert all(cell.endswith("\u00a0\u00a0\u00a0") for cell in before)
        assert not last.endswith("\u00a0")
    assert rows


def test_the_details_in_the_temporal_ui() -> None:
    assert (
        without_room(current_details_markdown(in_canary()))
        == """\
### Soaking in canary: exposed to 10%

soaking in canary, features for 10%

| stage | exposed to | soak credit | verdict |
|:--|:--|:--|:--|
| ✓ deploy-off | off | 2 h of 2 h | passed |
| ✓ internal | internal | 0 s of 24 h | passed |
| ▶ canary | 10% | 12 h of 48 h | UNKNOWN |
| full | full | 0 s of 46 h | – |

| gate in canary | value | limit | verdict |
|:--|:--|:--|:--|
| backend_p95 | – | ≤ +1 point | UNKNOWN |
| backend_errors | +0.02 points | ≤ +1 point | PASS |

**Traffic:** backend backend-r2 100 %

**Next:** then staged (50%)

As of 2026-11-23 12:00:00 UTC; *Pending Activities* and `rollout status request-isolation` have newer numbers."""
    )


def test_the_details_of_a_rollback_say_when_each_step_was_verified() -> None:
    progress = in_canary(RolloutStatus.ROLLED_BACK)
    progress.rollback = Rollback(
        cause="gate", reason="r", by="gate", began_at=NOON, steps=[RollbackStep(name="flags off", seconds=0.31)]
    )
    assert "**Rollback**, by gate: flags off after 0.3 s" in current_details_markdown(progress)


def test_the_details_of_a_rollback_that_has_only_begun_say_so_and_who_asked_for_it() -> None:
    progress = in_canary(RolloutStatus.ROLLING_BACK)
    progress.rollback = Rollback(cause="emergency", reason="r", by="kim", began_at=NOON)
    assert "**Rollback**, by kim: nothing is read back yet" in current_details_markdown(progress)


def test_who_sees_the_features_is_said_in_words_and_not_in_those_of_a_plan() -> None:
    progress = in_canary()
    progress.flags = {"request_isolation": OFF}
    assert "exposed to nobody" in status_line(progress)
    progress.flags = {"request_isolation": Exposure(exposure="percent", bp=10_000, stage="full")}
    assert current_details_markdown(progress).startswith("### Soaking in canary: exposed to everybody\n")
    # As after a rollback whose flag store had lost every flag: what is left to tell it by is the traffic.
    progress.flags, before = {}, TrafficSplit(shares={"shop-1": 100})
    shop = ServiceRef(key="shop", project="example-shop", region="europe-west1", service="shop")
    progress.candidates = {"shop": Candidate(service=shop, revision="shop-2", image="shop:2", tag="candidate")}
    progress.traffic = {"shop": before}
    assert "exposed to nobody" in status_line(progress)


@pytest.mark.parametrize("status", [RolloutStatus.HOLDING, RolloutStatus.PAUSED])
def test_what_keeps_a_stage_from_being_entered_is_not_said_to_happen_in_it(status: RolloutStatus) -> None:
    assert f"{status.value} in canary" in status_line(in_canary(status))
    assert f"{status.value} before canary" in status_line(before_canary(status))


def test_while_a_stage_is_waited_for_the_gates_of_what_people_have_are_shown() -> None:
    details = current_details_markdown(before_canary(RolloutStatus.AWAITING_APPROVAL))
    assert "| gate in internal | value | limit | verdict |" in without_room(details)
    assert "isolation" in details


def test_what_people_write_cannot_break_the_table_or_become_html() -> None:
    progress = in_canary()
    progress.why = "first line\nsecond | line <script>alert(1)</script> p95 < 5"
    progress.stages[2].judgements = (judgement("a|b", Verdict.PASS, "1 | 2\n3"),)
    text = current_details_markdown(progress)
    assert "first line second | line &lt;script>alert(1)&lt;/script> p95 < 5" in text
    assert "| a\\|b | 1 \\| 2 3 | ≤ +1 point | PASS |" in without_room(text)
