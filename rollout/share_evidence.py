"""What one interval adds to the evidence of a gate on shares: errors against control's, or against a limit."""

from math import log
from typing import Any

from rollout.best_run import ENOUGH_OTHERS, SPREAD_NEEDED, sparseness, spread_needed, times_left_out
from rollout.count_bets import Allowed, CountedInterval, pooled_share, with_bets, with_difference
from rollout.counted_singly import LEAST_AT_LIMIT, WELL_KNOWN_EVENTS
from rollout.sequential_model import GroupCounts, SequentialGate
from rollout.sequential_state import Keys
from rollout.statistics import ERROR_RATIOS, LARGEST_CASH, ONSET_EVERY_MINUTES, SOONER_ONSET_MINUTES

HARM_SHARE, BEYOND_SHARE = 0.05, 0.6
"""Which part of the gate's margin each key allows: the first key's part is what nobody would notice."""
READY, READY_PHI, NOT_READY_PHI = 0.01, 8.0, 12.0
"""What the second key's bets hold at least while nothing speaks against the new code; up to the first phi, and nothing
from the second on. There groups wander apart, and for an hour are further apart than what is tolerated."""
SETTLED_PHI, UNSETTLED_PHI = 6.0, 9.0
"""Up to the first bursts are small, from the second on they are not: a heavy tail has larger ones than were seen."""


def with_shares(gate: SequentialGate, keys: Keys, treated: GroupCounts, control: GroupCounts, minutes: float) -> Keys:
    if gate.kind == "zero_tolerance":
        bad = treated.bad + (control.bad if gate.group == "all" else 0)
        return keys.model_copy(update={"bad": keys.bad + bad, "total": keys.total + treated.total})
    if gate.kind == "threshold":
        return _against_limit(gate.allowed_share, keys, treated, minutes)
    margin = gate.max_difference or 0.0
    harm, beyond = (Allowed(part * margin, keys.allowed_ratio) for part in (HARM_SHARE, BEYOND_SHARE))
    phi, at_limit = keys.dispersion.phi, margin * treated.total
    bursts_settled = settled(phi, keys.dispersion.events, at_limit) if keys.begins_anew else 0.0
    counted = CountedInterval(
        treated, control, harm, beyond, ERROR_RATIOS, minutes, harm_onset=harm_onset(bursts_settled)
    )
    grown = with_bets(keys, counted)
    odds = grown.harm_odds
    # All that changes at once: a copy of the keys takes as long as a bettor.
    changed: dict[str, Any] = {}
    if keys.by_own_rates and odds < keys.harmless:
        changed = _ready(grown, phi, bursts_settled)
    if keys.best_run is not None:
        others = grown.dispersion.events - grown.bad if keys.by_own_rates else ENOUGH_OTHERS
        needed = spread_needed(phi, at_limit, others, bursts_settled)
        times = times_left_out(phi, margin * (treated.total + control.total))
        counts = treated.bad, treated.total
        changed["best_run"] = keys.best_run.after(log(odds), needed, times, counts, log(keys.harmless))
    if keys.singly is not None and at_limit >= LEAST_AT_LIMIT:
        changed["singly"] = keys.singly.after(
            treated,
            control,
            ratio=keys.allowed_ratio,
            margins=(harm.margin, beyond.margin),
            phi=phi,
            events=grown.dispersion.events,
            minutes=minutes,
        )
    changed["average"] = with_difference(keys, grown, treated, control, Allowed(margin, 1.0))
    return grown.model_copy(update=changed)


def _against_limit(limit: float, keys: Keys, treated: GroupCounts, minutes: float) -> Keys:
    allowed, nobody = Allowed(limit, 1.0), GroupCounts(total=0)
    grown = with_bets(keys, CountedInterval(treated, nobody, allowed, allowed, ERROR_RATIOS, minutes))
    changed: dict[str, Any] = {}
    if keys.best_run is not None:
        # Where a violation is worth hours, bursts are hardly ever seen before one that convicts.
        times = 1 + sparseness(limit * treated.total)
        changed["best_run"] = keys.best_run.after(log(grown.harm_odds), SPREAD_NEEDED, times)
    share = max(limit, pooled_share(grown.bad, grown.total))
    variance = keys.dispersion.phi * treated.total * share * (1 - share)
    changed["average"] = keys.average.after(treated.bad / treated.total, treated.total, variance, treated.total)
    return grown.model_copy(update=changed)


def harm_onset(bursts_settled: float) -> float:
    """How often, in minutes, the first key takes harm to begin: sooner only as far as its cash is filled up again."""
    return ONSET_EVERY_MINUTES - (ONSET_EVERY_MINUTES - SOONER_ONSET_MINUTES) * bursts_settled


def settled(phi: float, events: int, at_limit: float) -> float:
    """How far, from 0 to 1, it is settled that bursts are small, after so many bad events of both groups.

    `at_limit`: bad events that the limit would bring in the interval. Where they are few, single bursts decide.
    """
    if events < WELL_KNOWN_EVENTS:
        return 0.0
    return _falling(phi, SETTLED_PHI, UNSETTLED_PHI) * (1 - sparseness(at_limit))


def _falling(phi: float, until: float, end: float) -> float:
    """1 up to the first phi, 0 from the second on."""
    return min(1.0, max(0.0, (end - phi) / (end - until)))


def _ready(keys: Keys, phi: float, bursts_settled: float) -> dict[str, Any]:
    """What changes while nothing speaks against the new code, so that harm that begins later is found as soon.

    The second key begins with the harm that the first finds, not with the soak: it says how much worse treated is,
    which it can be asked only once there is harm. Left alone, its bets lose all they have while there is none, and what
    begins on the second day has to earn that back first.

    The cash of the first key would run out as well, hour by hour. Where it is settled that bursts are small, it is
    filled up; what it promises of code that does no harm holds from then on, and no longer of the soak as a whole.
    """
    cash, ready = LARGEST_CASH * bursts_settled, READY * _falling(phi, READY_PHI, NOT_READY_PHI)
    harm, beyond = keys.harm.with_cash_of(cash), keys.beyond.with_bets_of(ready)
    capped = keys.capped and (keys.capped[0].with_cash_of(cash), keys.capped[1].with_bets_of(ready))
    return {"harm": harm, "beyond": beyond, "capped": capped}
