"""What one interval adds to the evidence of a gate on shares: errors against control's, or against a limit."""

from math import log
from typing import Any

from rollout.best_run import ENOUGH_OTHERS, SPREAD_NEEDED, sparseness, spread_needed, times_left_out
from rollout.count_bets import Allowed, CountedInterval, pooled_share, with_bets, with_difference
from rollout.counted_singly import LEAST_AT_LIMIT
from rollout.sequential_model import GroupCounts, SequentialGate
from rollout.sequential_state import Keys
from rollout.statistics import ERROR_RATIOS

HARM_SHARE, BEYOND_SHARE = 0.05, 0.6
"""Which part of the gate's margin each key allows: the first key's part is what nobody would notice."""
READY, READY_PHI, NOT_READY_PHI = 0.01, 8.0, 12.0
"""What the second key's bets hold at least while the first speaks for the new code; up to the first phi, and nothing
from the second on. There groups wander apart, and for an hour are further apart than what is tolerated."""


def with_shares(gate: SequentialGate, keys: Keys, treated: GroupCounts, control: GroupCounts, minutes: float) -> Keys:
    if gate.kind == "zero_tolerance":
        bad = treated.bad + (control.bad if gate.group == "all" else 0)
        return keys.model_copy(update={"bad": keys.bad + bad, "total": keys.total + treated.total})
    if gate.kind == "threshold":
        return _against_limit(gate.allowed_share, keys, treated, minutes)
    margin = gate.max_difference or 0.0
    harm, beyond = (Allowed(part * margin, keys.allowed_ratio) for part in (HARM_SHARE, BEYOND_SHARE))
    grown = with_bets(keys, CountedInterval(treated, control, harm, beyond, ERROR_RATIOS, minutes))
    phi = keys.dispersion.phi
    # All that changes at once: a copy of the keys takes as long as a bettor.
    changed: dict[str, Any] = _second_key_ready(grown, phi) if keys.by_own_rates else {}
    if keys.best_run is not None:
        others = grown.dispersion.events - grown.bad if keys.by_own_rates else ENOUGH_OTHERS
        needed = spread_needed(phi, margin * treated.total, others)
        times = times_left_out(phi, margin * (treated.total + control.total))
        counts = treated.bad, treated.total
        changed["best_run"] = keys.best_run.after(log(grown.harm_odds), needed, times, counts)
    if keys.singly is not None and margin * treated.total >= LEAST_AT_LIMIT:
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


def _second_key_ready(keys: Keys, phi: float) -> dict[str, Any]:
    """The second key begins with the harm that the first finds, not with the soak. What changes by that.

    It says how much worse treated is, which it can be asked only once there is harm. Left alone, its bets lose all they
    have while there is none, and what begins on the second day has to earn that back first. What the first key
    promises of code that does no harm is not touched by it.
    """
    if keys.harm_odds >= 1:
        return {}
    ready = READY * min(1.0, max(0.0, (NOT_READY_PHI - phi) / (NOT_READY_PHI - READY_PHI)))
    capped = keys.capped and (keys.capped[0], keys.capped[1].with_bets_of(ready))
    return {"beyond": keys.beyond.with_bets_of(ready), "capped": capped}
