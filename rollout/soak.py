"""Soak credit: the part of a stage's time that is covered by data with every gate passing. Only credit promotes.

Time is cut into intervals of one length, judged once each, in order of their end. A soak is a value; `record` adds
one judged interval and says whether that is worth telling anybody.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rollout.verdict import LEAVING, UNTROUBLED, Action, Judgement, Lack, Verdict, worst

Standing = Literal["passing", "waiting", "holding", "failed"]
"""`waiting` is a soak without an answer for so short a time that nobody needs to know."""

Transition = Literal["hold_began", "hold_ended", "hold_changed", "hold_needs_a_person", "warned", "breached"]

Around = Literal["seen", "unread", "amiss"]
"""How much an interval of the past that nobody looked at can be worth, by flags, traffic and endpoints as they are now:
all that its data say; that, once they can be read; or nothing."""

# One missing minute is weather. Three in a row are a state that a person should know of.
INTERVALS_BEFORE_A_HOLD = 3
# A hold ends when this many intervals in a row pass, so that a value at its limit does not flap.
INTERVALS_TO_END_A_HOLD = 3
WITHOUT_END = timedelta(days=3650)
"""More credit than any soak earns: a watch with this target ends by what it sees, not by what was earned."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Suspension(_Frozen):
    """A time that does not count towards credit, such as a pause. Open while `until` is None."""

    since: datetime
    until: datetime | None = None


class Gap(_Frozen):
    """A run of intervals that had no data when they were judged; they still count if their data arrive late.

    An interval in which some other gate spoke against the rollout is none, nor one in which flags, traffic or an
    endpoint could not be read: nothing that arrives makes it count.
    """

    since: datetime
    until: datetime


class SoakState(_Frozen):
    """Where a stage's soak stands, small enough to travel in a heartbeat."""

    interval: timedelta
    since: datetime
    judged_until: datetime
    credit: timedelta = timedelta()
    standing: Standing = "waiting"
    causes: tuple[str, ...] = ()
    not_passing_since: datetime | None = None
    passing_in_a_row: int = 0
    told_a_person: bool = False
    warned: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    silences: dict[str, timedelta] = Field(default_factory=dict, exclude_if=lambda silences: not silences)
    """How long gates that then turn a flag off have been silent by now."""


def align_down(moment: datetime, interval: timedelta) -> datetime:
    """The latest multiple of `interval` since the epoch that is not after `moment`."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // interval * interval


def begin(entered: datetime, interval: timedelta) -> SoakState:
    """A soak whose first interval starts at or after the moment the stage was entered."""
    start = align_down(entered, interval)
    if start < entered:
        start += interval
    return SoakState(interval=interval, since=start, judged_until=start)


def due(state: SoakState, visible_until: datetime) -> list[datetime]:
    """Ends of the closed intervals that are not judged yet, oldest first; in UTC, as `IntervalSeries` keeps them."""
    until, judged_until = align_down(visible_until, state.interval), state.judged_until.astimezone(UTC)
    count = max(0, (until - judged_until) // state.interval)
    return [judged_until + state.interval * (step + 1) for step in range(count)]


def counts(end: datetime, interval: timedelta, suspensions: Sequence[Suspension]) -> bool:
    """Whether the interval that ends at `end` lies outside every suspension."""
    start = end - interval
    return all(
        end <= suspension.since or (suspension.until is not None and start >= suspension.until)
        for suspension in suspensions
    )


def record(
    state: SoakState,
    end: datetime,
    judgements: Mapping[str, Judgement],
    actions: Mapping[str, Action],
    page_after: Mapping[str, timedelta],
    *,
    counted: bool,
    asked_now: Collection[str] = (),
    around: Around = "seen",
) -> tuple[SoakState, Transition | None]:
    """The soak after the interval that ends at `end`.

    A gate whose action is `warn` neither holds nor stops credit, whatever it answers. A FAIL with `rollback`
    or `step_back` breaches at once. Every other answer than PASS and IDLE stops the credit clock and becomes a hold: at
    once for FAIL and SUSPECT, after a few intervals for an ERROR or missing data, after the gate's `page_after` for a
    sample that is still too small. `asked_now`: what no data that arrive late can tell, such as flags and traffic; an
    interval in which one of them did not answer is lost to credit. `around` is for an interval in which nobody asked.
    """
    deciding = {name: judgement for name, judgement in judgements.items() if actions[name] != "warn"}
    verdict = worst(deciding.values())
    failed = tuple(sorted(name for name, judgement in deciding.items() if judgement.verdict is Verdict.FAIL))
    warned = tuple(sorted(name for name in set(judgements) - set(deciding) if judgements[name].verdict is Verdict.FAIL))
    moved = state.model_copy(update={"judged_until": end, "warned": warned})
    if any(actions[name] in LEAVING for name in failed):
        return breached(moved, failed), "breached"
    if verdict in UNTROUBLED and around != "seen":
        gaps = _widened(state.gaps, end, state.interval) if around == "unread" else state.gaps
        return moved.model_copy(update={"passing_in_a_row": 0, "gaps": gaps}), None
    if verdict in UNTROUBLED:
        return _passed(moved, state, credit=state.interval if counted and verdict is Verdict.PASS else timedelta())
    against = {name: judged for name, judged in deciding.items() if judged.verdict not in UNTROUBLED}
    can_arrive = around != "amiss" and against.keys().isdisjoint(asked_now)
    return _not_passed(moved, state, end, against, page_after, can_arrive=can_arrive)


def breached(state: SoakState, causes: tuple[str, ...], until: datetime | None = None) -> SoakState:
    """The soak that failed on an interval out of its turn: one ahead, which ended at `until`, or one that came late."""
    return state.model_copy(
        update={"standing": "failed", "causes": causes, "judged_until": max(state.judged_until, until or state.since)}
    )


def held(state: SoakState, cause: str) -> SoakState:
    """The soak as something begins to hold it that none of its gates says."""
    return state.model_copy(
        update={
            "standing": "holding",
            "causes": tuple(sorted({*state.causes, cause})),
            "not_passing_since": state.not_passing_since or state.judged_until - state.interval,
            "passing_in_a_row": 0,
        }
    )


def fill(state: SoakState, end: datetime, judgements: Mapping[str, Judgement], *, counted: bool) -> SoakState:
    """The soak after data arrived late for an interval inside a gap. It earns its credit if every gate passes.

    Late data change the credit only: what stands now was judged by newer data.
    """
    start = end - state.interval
    gaps: list[Gap] = []
    for gap in state.gaps:
        if gap.since <= start and end <= gap.until:
            pieces = (Gap(since=gap.since, until=start), Gap(since=end, until=gap.until))
            gaps.extend(piece for piece in pieces if piece.since < piece.until)
        else:
            gaps.append(gap)
    earned = counted and worst(judgements.values()) is Verdict.PASS
    credit = state.credit + state.interval if earned else state.credit
    return state.model_copy(update={"gaps": tuple(gaps), "credit": credit})


def missing(state: SoakState) -> list[datetime]:
    """Ends of the intervals inside the gaps, oldest first."""
    return [
        gap.since + state.interval * (step + 1)
        for gap in state.gaps
        for step in range((gap.until - gap.since) // state.interval)
    ]


def _widened(gaps: tuple[Gap, ...], end: datetime, interval: timedelta) -> tuple[Gap, ...]:
    start = end - interval
    if gaps and gaps[-1].until == start:
        return (*gaps[:-1], Gap(since=gaps[-1].since, until=end))
    return (*gaps, Gap(since=start, until=end))


def _passed(moved: SoakState, before: SoakState, credit: timedelta) -> tuple[SoakState, Transition | None]:
    in_a_row = before.passing_in_a_row + 1
    held = before.standing == "holding"
    still_held = held and in_a_row < INTERVALS_TO_END_A_HOLD
    transition: Transition | None = "hold_ended" if held and not still_held else None
    if transition is None and set(moved.warned) - set(before.warned):
        transition = "warned"
    return (
        moved.model_copy(
            update={
                "credit": before.credit + credit,
                "passing_in_a_row": in_a_row,
                "standing": "holding" if still_held else "passing",
                "causes": before.causes if still_held else (),
                "not_passing_since": before.not_passing_since if still_held else None,
                "told_a_person": before.told_a_person if still_held else False,
            }
        ),
        transition,
    )


def _not_passed(
    moved: SoakState,
    before: SoakState,
    end: datetime,
    causes: Mapping[str, Judgement],
    page_after: Mapping[str, timedelta],
    *,
    can_arrive: bool,
) -> tuple[SoakState, Transition | None]:
    since = before.not_passing_since or end - before.interval
    lasted = end - since
    harmed = any(judgement.verdict in (Verdict.FAIL, Verdict.SUSPECT) for judgement in causes.values())
    silent = any(judgement.lack is Lack.DATA or judgement.verdict is Verdict.ERROR for judgement in causes.values())
    patience = min(_patience(judgement, page_after[name], before.interval) for name, judgement in causes.items())
    holding = before.standing == "holding" or lasted >= patience
    page_due = holding and lasted >= min(page_after[name] for name in causes) and not before.told_a_person
    names = tuple(sorted(causes))
    transition: Transition | None = None
    if holding and before.standing != "holding":
        transition = "hold_began"
    elif holding and not set(names) <= set(before.causes):
        transition = "hold_changed"
    elif page_due:
        transition = "hold_needs_a_person"
    return (
        moved.model_copy(
            update={
                "passing_in_a_row": 0,
                "not_passing_since": since,
                "standing": "holding" if holding else "waiting",
                "causes": tuple(sorted({*before.causes, *names})) if before.standing == "holding" else names,
                "told_a_person": before.told_a_person or transition == "hold_needs_a_person",
                "gaps": _widened(before.gaps, end, before.interval)
                if silent and can_arrive and not harmed
                else before.gaps,
            }
        ),
        transition,
    )


def _patience(judgement: Judgement, page_after: timedelta, interval: timedelta) -> timedelta:
    if judgement.verdict in (Verdict.FAIL, Verdict.SUSPECT):
        return timedelta()
    if judgement.lack is Lack.SAMPLE:
        return page_after
    return min(interval * INTERVALS_BEFORE_A_HOLD, page_after)
