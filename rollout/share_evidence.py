"""What one interval adds to the evidence of a gate on shares: errors against control's, or against a limit."""

from math import log

from rollout.best_run import spread_needed, times_left_out
from rollout.count_bets import pooled_share, with_average, with_bets, with_difference
from rollout.sequential_model import GroupCounts, SequentialGate
from rollout.sequential_state import Keys
from rollout.statistics import ERROR_RATIOS

HARM_SHARE, BEYOND_SHARE = 0.05, 0.6
"""Which part of the gate's margin each key allows: the first key's part is what nobody would notice."""


def with_shares(gate: SequentialGate, keys: Keys, treated: GroupCounts, control: GroupCounts, minutes: float) -> Keys:
    if gate.kind == "zero_tolerance":
        bad = treated.bad + (control.bad if gate.group == "all" else 0)
        return keys.model_copy(update={"bad": keys.bad + bad, "total": keys.total + treated.total})
    if gate.kind == "threshold":
        limit = gate.allowed_share
        grown = with_bets(keys, treated, GroupCounts(total=0), ((limit, 1.0), (limit, 1.0)), ERROR_RATIOS, minutes)
        share = max(limit, pooled_share(grown.bad, grown.total))
        variance = keys.dispersion.phi * treated.total * share * (1 - share)
        return with_average(grown, treated.bad / treated.total, treated.total, variance, treated.total)
    margin = gate.max_difference or 0.0
    allowed = ((HARM_SHARE * margin, keys.allowed_ratio), (BEYOND_SHARE * margin, keys.allowed_ratio))
    grown = with_bets(keys, treated, control, allowed, ERROR_RATIOS, minutes)
    if keys.best_run is not None:
        phi = keys.dispersion.phi
        needed = spread_needed(phi, margin * treated.total)
        times = times_left_out(phi, margin * (treated.total + control.total))
        best_run = keys.best_run.after(log(grown.harm_odds), needed, times, (treated.bad, treated.total))
        grown = grown.model_copy(update={"best_run": best_run})
    return with_difference(keys, grown, treated, control, margin, 1.0)
