"""A gate judged after every interval, for as long as its soak lasts, without losing count of how often it was asked.

    state = begin(gate)
    state, judgement = step(gate, state, interval)

Two keys: the first says that the new code does harm at all, the second that the harm is beyond what is tolerated, a
part of what the gate allows. The first alone holds; both together fail, the first then at longer odds. Apart from both
there is a fuse: three intervals in a row that are worse by twenty points, with more bad events than one burst brings,
fail at once. Passing early needs a bound on the average harm below the limit. Groups that are not of the planned sizes
hold too, and never fail by that.
"""

from datetime import datetime, timedelta

from rollout.best_run import MOST_LEFT_OUT_ELSEWHERE, RUN, BestRun
from rollout.changed_edges import has_other_edges
from rollout.confidence_sequence import PASS_INTERVALS
from rollout.counted_singly import CountedSingly
from rollout.dispersion import Dispersion
from rollout.fuse import FUSE_POINTS, has_blown, with_gross
from rollout.moments import time_of_day
from rollout.quantity import format_duration
from rollout.score_evidence import SCORE_STAKES
from rollout.sequential_evidence import with_control_alone, with_history, with_interval, with_sample_ratio
from rollout.sequential_model import (
    Decision,
    Evidence,
    Interval,
    SequentialGate,
    SequentialJudgement,
)
from rollout.sequential_state import Keys, SequentialState
from rollout.sequential_wording import absent, measured
from rollout.statistics import ERROR_RATIOS, LATENCY_RATIOS, Mixture
from rollout.verdict import Verdict
from rollout.wander import Wander

MISSING_BEFORE_A_HOLD = 5
GAPS_KEPT = 16
"""Beyond that the oldest gap is given up: its data will not be used when they arrive."""


def begin(gate: SequentialGate) -> SequentialState:
    """No evidence either way."""
    arms = {"level": SCORE_STAKES, "p95": LATENCY_RATIOS}.get(gate.statistic, ERROR_RATIOS)
    of_p95 = gate.statistic == "p95"
    dispersion = Wander() if of_p95 else Dispersion()
    fresh = Mixture.fresh(len(arms))
    weighs = gate.judges_shares or of_p95
    capped = (fresh, fresh) if gate.judges_shares else None
    best_run = None
    if gate.compares_shares:
        best_run = BestRun(times=1.0, counts=())
    elif weighs:
        best_run = BestRun(times=1.0, most_left_out=MOST_LEFT_OUT_ELSEWHERE)
    keys = Keys(
        harm=fresh,
        beyond=fresh,
        dispersion=dispersion,
        capped=capped,
        best_run=best_run,
        bets_by_dispersion=True,
        forgets_ended_bets=gate.judges_shares,
        by_own_rates=weighs,
        singly=CountedSingly() if gate.compares_shares else None,
        begins_anew=gate.compares_shares,
    )
    gross_bad = 0.0 if gate.judges_shares else None
    # The two edges of latencies convict together, and so have one best run.
    others = (keys.model_copy(update={"best_run": None}),) if of_p95 else ()
    return SequentialState(keys=(keys, *others), gross_bad=gross_bad, packed=True)


def step(
    gate: SequentialGate,
    state: SequentialState,
    interval: Interval,
    *,
    in_words: bool = True,
    silent_since: datetime | None = None,
) -> tuple[SequentialState, SequentialJudgement]:
    """The state and the judgement after one more interval. An interval that is in the evidence already changes nothing.

    Where not `in_words`, what was measured is left out of the reason: a plan's gates tell of their window instead.
    Whoever feeds intervals whose length changes says `silent_since` when there are no data, should this be without any
    too: how many are missing then does not tell for how long.

    Raises:
        ValueError: the interval holds another kind of data than the gate judges.
    """
    placed = _placed(gate, state, interval.end)
    weighed = placed is not None and interval.exposed
    remark: tuple[Verdict, str] | None
    if placed is None:
        after = state
        why = _why_not_placed(gate, state, interval.end)
        remark = Verdict.IDLE, f"the interval that ended at {time_of_day(interval.end, state.newest)} {why}"
    else:
        newest = state.newest is None or interval.end > state.newest
        packed = placed if placed.packed else placed.model_copy(update={"packed": True})
        if weighed:
            after = _weighed(gate, packed, interval, newest=newest)
            remark = absent(gate, interval)
        else:
            after = _learnt_from(gate, packed, interval, newest=newest)
            remark = Verdict.IDLE, "nobody was exposed, so nothing is judged"
    silent_for = after.missing_in_a_row * gate.interval
    if silent_since is not None and after.newest is not None:
        silent_for = after.newest - silent_since
    evidence = _evidence(gate, after)
    if weighed and not after.failed and (why := _failure(gate, after, interval, evidence)):
        after = after.model_copy(update={"failed": why})
    return after, _judged(gate, after, evidence, interval.end, remark, silent_for, in_words=in_words)


def _learnt_from(gate: SequentialGate, state: SequentialState, interval: Interval, *, newest: bool) -> SequentialState:
    """The state with what an interval before anybody's exposure tells of the cohort."""
    ignored = state.failed or _is_outdated(state, interval, newest=newest)
    learnt = state if ignored else with_history(gate, state, interval)
    return learnt.model_copy(update={"missing_in_a_row": 0}) if learnt.missing_in_a_row else learnt


def _weighed(gate: SequentialGate, state: SequentialState, interval: Interval, *, newest: bool) -> SequentialState:
    """The state with the interval weighed in it."""
    ignored = state.failed or _is_outdated(state, interval, newest=newest)
    applied = state if ignored else with_interval(gate, state, interval)
    missing = 0 if newest else state.missing_in_a_row
    if applied is None:
        applied, missing = with_control_alone(gate, state, interval), state.missing_in_a_row + (1 if newest else 0)
    if newest:
        applied = with_gross(gate, applied, interval)
    if applied.missing_in_a_row != missing:
        applied = applied.model_copy(update={"missing_in_a_row": missing})
    return with_sample_ratio(gate, applied, interval)


def _is_outdated(state: SequentialState, interval: Interval, *, newest: bool) -> bool:
    """Late data with the buckets of before would have control's curve begin anew, and again with the next interval."""
    return not newest and has_other_edges(state, interval.control)


def _placed(gate: SequentialGate, state: SequentialState, end: datetime) -> SequentialState | None:
    """The state that knows this interval's end; None where it has been judged, or was given up."""
    half = gate.interval / 2
    if state.newest is None:
        return state.model_copy(update={"newest": end})
    if end > state.newest + half:
        gaps, missed = state.gaps, round((end - state.newest) / gate.interval) - 1
        if missed > 0:
            gaps = (*gaps, (state.newest, end - gate.interval))[-GAPS_KEPT:]
        return state.model_copy(
            update={"newest": end, "gaps": gaps, "missing_in_a_row": state.missing_in_a_row + missed}
        )
    for index, (since, until) in enumerate(state.gaps):
        if since + half < end <= until + half:
            pieces = ((since, end - gate.interval), (end, until))
            left = tuple(piece for piece in pieces if piece[1] - piece[0] > half)
            return state.model_copy(update={"gaps": (*state.gaps[:index], *left, *state.gaps[index + 1 :])})
    return None


def _why_not_placed(gate: SequentialGate, state: SequentialState, end: datetime) -> str:
    """After the last gap everything was judged; of what lies before it nobody knows, for gaps are given up."""
    before_one = bool(state.gaps) and end <= state.gaps[-1][0] + gate.interval / 2
    return "was judged, or comes too late to be judged" if before_one else "was judged"


def _evidence(gate: SequentialGate, state: SequentialState) -> Evidence:
    if (singly := _convinced_singly(state)) is not None:
        return Evidence(
            harm=singly.harm.wealth,
            harm_needed=singly.harm_needed,
            beyond=singly.beyond.wealth,
            beyond_needed=singly.beyond_needed,
        )
    return Evidence(
        harm=state.harm_odds,
        harm_needed=gate.conviction_needed,
        beyond=state.beyond_odds,
        beyond_needed=state.keys[0].beyond_needed,
    )


def _failure(gate: SequentialGate, state: SequentialState, interval: Interval, found: Evidence) -> str:
    """Why the gate has failed, or nothing."""
    if gate.must_be_zero:
        return f"{state.keys[0].bad:,} at {time_of_day(interval.end)}, none is tolerated" if state.keys[0].bad else ""
    if has_blown(state):
        points = f"{FUSE_POINTS * 100:.0f} points or more beyond it in {state.gross_in_a_row} intervals in a row"
        return f"{measured(gate, state)}; {points}"
    return measured(gate, state) if _is_proven(found) and not doubt_about(state, found) else ""


def _is_proven(found: Evidence) -> bool:
    return found.harm >= found.harm_needed and found.beyond >= found.beyond_needed


def doubt_about(state: SequentialState, evidence: Evidence) -> str:
    """Why all that a failure needs is proven and not believed: bursts of errors would explain it. Nothing elsewhere."""
    if not _is_proven(evidence) or _convinced_singly(state) is not None:
        return ""
    if not all(keys.spread_enough for keys in state.keys):
        return f"too much of that is one run of {RUN} intervals, as one burst would be"
    if not all(keys.even_enough for keys in state.keys):
        return "too few intervals have told whether errors come in bursts"
    return ""


def _convinced_singly(state: SequentialState) -> CountedSingly | None:
    """The bettor who takes every bad event for one by itself, where he convicts; how evenly they come bears him out."""
    singly = state.keys[0].singly
    return singly if singly is not None and singly.convicts else None


def _passes(gate: SequentialGate, state: SequentialState) -> bool:
    limit = gate.allowed_share if gate.kind == "threshold" else gate.max_difference or 0.0
    if gate.kind == "zero_tolerance":
        return False
    enough = all(keys.total >= gate.minimum_sample and keys.average.intervals >= PASS_INTERVALS for keys in state.keys)
    return enough and all(keys.average.bound() < limit for keys in state.keys)


def _judged(
    gate: SequentialGate,
    state: SequentialState,
    evidence: Evidence,
    end: datetime,
    remark: tuple[Verdict, str] | None,
    silent_for: timedelta,
    *,
    in_words: bool,
) -> SequentialJudgement:
    about = f"{gate.title}: "

    def say(decision: Decision, verdict: Verdict, reason: str) -> SequentialJudgement:
        if gate.action == "warn" and decision in ("rollback", "hold"):
            decision = "continue"
        if gate.action == "hold" and decision == "rollback":
            decision = "hold"
        return SequentialJudgement(
            decision=decision, verdict=verdict, evidence=evidence, interval=end, reason=about + reason
        )

    if state.failed:
        return say("rollback", Verdict.FAIL, state.failed)
    if state.missing_in_a_row > MISSING_BEFORE_A_HOLD:
        lasted = format_duration(silent_for)
        return say("hold", Verdict.UNKNOWN, f"no data for {lasted}, and silence is not health")
    if suspicion := _suspicion(gate, state, evidence):
        return say("hold", Verdict.SUSPECT, suspicion)
    if remark:
        return say("continue", *remark)
    return say(*_without_alarm(gate, state, in_words=in_words))


def _without_alarm(gate: SequentialGate, state: SequentialState, *, in_words: bool) -> tuple[Decision, Verdict, str]:
    total = state.keys[0].total
    if not total:
        return "continue", Verdict.UNKNOWN, "learning where control's p95 lies"
    said = measured(gate, state) if in_words else ""
    if _passes(gate, state):
        return "advance", Verdict.PASS, f"{said}; the average is below the limit beyond doubt"
    if total < gate.minimum_sample:
        needed = f"fewer observations than the {gate.minimum_sample:,} that a pass needs"
        return "continue", Verdict.UNKNOWN, f"{said}; {needed}"
    return "continue", Verdict.PASS, said


def _suspicion(gate: SequentialGate, state: SequentialState, evidence: Evidence) -> str:
    """Why the rollout should go no further although the gate has not failed, or nothing."""
    if state.sample is not None and state.sample.alarmed:
        return state.sample.in_words()
    if doubt := doubt_about(state, evidence):
        return f"{measured(gate, state)}; so far {doubt}"
    if evidence.harm >= state.hold_needed and evidence.beyond >= evidence.beyond_needed:
        needed = f"{evidence.harm:,.0f} to 1 so far, {evidence.harm_needed:,.0f} are needed"
        return f"{measured(gate, state)}; worse, but not yet beyond doubt ({needed})"
    if evidence.harm >= state.hold_needed:
        return f"{measured(gate, state)}; worse, but not yet beyond what is tolerated"
    return ""
