"""The bets of both keys on what one interval counted: bad events among the requests of two groups."""

from typing import NamedTuple

from rollout.capped_bets import FEE_WITHOUT_CONTROL, WELL_KNOWN_EVENTS, WELL_KNOWN_EVENTS_BEFORE, capped_bets
from rollout.confidence_sequence import Average
from rollout.sequential_model import GroupCounts
from rollout.sequential_state import Keys
from rollout.statistics import (
    LARGEST_GAIN,
    ONSET_EVERY_MINUTES,
    Mixture,
    StakeOf,
    all_won,
    fastest_stake,
    log_factor,
    log_factors,
    stake_for,
)

UNKNOWN_BURST = 2.0
"""The burst size of a gate without control, in states that began before its own rate told of it."""


class Allowed(NamedTuple):
    """What a key lets pass: a treated rate of up to `margin`, as a share, and `ratio` times control's rate."""

    margin: float
    ratio: float


class CountedInterval(NamedTuple):
    """What one interval of so many `minutes` counted, what of that each key allows, and by which risk ratios they bet.

    Without a control group, control's counts are 0. `harm_onset` is how often, in minutes, the first key takes harm to
    begin.
    """

    treated: GroupCounts
    control: GroupCounts
    harm: Allowed
    beyond: Allowed
    risk_ratios: tuple[float, ...]
    minutes: float
    harm_onset: float = ONSET_EVERY_MINUTES

    def share(self, ratio: float) -> float:
        """Bad events expected among the treated for each one in control."""
        return ratio * self.treated.total / self.control.total if self.control.total else 0.0


def with_bets(keys: Keys, counted: CountedInterval) -> Keys:
    """Both keys after the interval, with the burst size learnt from the past only."""
    treated, control = counted.treated, counted.control
    harm, beyond = _first_bettors(keys, counted)
    counts = (treated.bad, treated.total, control.bad, control.total)
    learnt = keys.dispersion_after(*counts, counted.minutes) if _knows_bursts(keys, counted) else keys.dispersion
    return keys.model_copy(
        update={
            "capped": _second_bettors(keys, counted),
            "harm": harm,
            "beyond": beyond,
            "dispersion": learnt,
            "bad": keys.bad + treated.bad,
            "total": keys.total + treated.total,
            "control_bad": keys.control_bad + control.bad,
            "control_total": keys.control_total + control.total,
        }
    )


def _first_bettors(keys: Keys, counted: CountedInterval) -> tuple[Mixture, Mixture]:
    """What the first bettor has on each key after the interval."""
    total = counted.treated.total
    largest = keys.dispersion.largest_gain if _knows_bursts(keys, counted) else LARGEST_GAIN
    # Keys that differ by their margin alone share their bets.
    bets = {ratio: _bets(keys, counted, ratio) for ratio in {counted.harm.ratio, counted.beyond.ratio}}
    harm, beyond = (
        mixture.after(
            log_factors(*bets[allowed.ratio], margin=allowed.margin, total=total),
            counted.minutes,
            largest_gain=largest,
            largest_cash=keys.largest_cash,
            onset_minutes=onset,
        )
        for mixture, allowed, onset in (
            (keys.harm, counted.harm, counted.harm_onset),
            (keys.beyond, counted.beyond, ONSET_EVERY_MINUTES),
        )
    )
    return harm, beyond


def _bets(keys: Keys, counted: CountedInterval, ratio: float) -> tuple[list[float], list[float]]:
    """For each risk ratio what has been won where a key allows `ratio`, and the stake."""
    share = counted.share(ratio)
    if _knows_bursts(keys, counted):
        stake_of, burst = _stakes(keys), keys.dispersion.burst
        stakes = [stake_of(risk_ratio, share, burst) for risk_ratio in counted.risk_ratios]
    else:
        burst = UNKNOWN_BURST
        stakes = [(risk_ratio - 1) / burst for risk_ratio in counted.risk_ratios]
    return all_won(counted.treated.bad, counted.control.bad, share=share, stakes=stakes, burst=burst), stakes


def _knows_bursts(keys: Keys, counted: CountedInterval) -> bool:
    return keys.by_own_rates or counted.control.total > 0


def _second_bettors(keys: Keys, counted: CountedInterval) -> tuple[Mixture, Mixture] | None:
    """What the second bettor has on each key; where shares are compared, both keys allow the same ratio."""
    if keys.capped is None:
        return None
    total = counted.treated.total
    if counted.control.total:
        well_known = WELL_KNOWN_EVENTS if keys.by_own_rates else WELL_KNOWN_EVENTS_BEFORE
        known, fee = keys.dispersion.events / well_known, 0.0
    else:
        # He need not wait: bad events are few against a limit, and a failure does not rest on one burst anyway.
        known, fee = 1.0, FEE_WITHOUT_CONTROL
    bets = capped_bets(
        counted.treated.bad,
        counted.control.bad,
        share=counted.share(counted.harm.ratio),
        burst=keys.dispersion.burst,
        known=known,
        risk_ratios=counted.risk_ratios,
        stake_of=_stakes(keys),
    )
    harm, beyond = (
        mixture.after(
            [
                min(bet.largest, log_factor(bet.won, margin=allowed.margin, stake=bet.stake, total=total)) - fee
                for bet in bets
            ],
            counted.minutes,
            largest_cash=keys.largest_cash,
            onset_minutes=onset,
        )
        for mixture, allowed, onset in (
            (keys.capped[0], counted.harm, counted.harm_onset),
            (keys.capped[1], counted.beyond, ONSET_EVERY_MINUTES),
        )
    )
    return harm, beyond


def _stakes(keys: Keys) -> StakeOf:
    return fastest_stake if keys.bets_by_dispersion else stake_for


def with_difference(before: Keys, grown: Keys, treated: GroupCounts, control: GroupCounts, limit: Allowed) -> Average:
    """The average difference with the interval in it, its variance taken where the limit is just reached."""
    margin, ratio = limit
    weight = treated.total * control.total / (treated.total + control.total)
    reference = pooled_share(grown.control_bad, grown.control_total)
    at_limit = min(1.0, max(ratio * reference + margin, pooled_share(grown.bad, grown.total)))
    variance = at_limit * (1 - at_limit) / treated.total + ratio**2 * reference * (1 - reference) / control.total
    difference = treated.bad / treated.total - ratio * control.bad / control.total
    return before.average.after(difference, weight, before.dispersion.phi * weight**2 * variance, treated.total)


def pooled_share(bad: int, total: int) -> float:
    """A share that is never 0 or 1."""
    return (bad + 1) / (total + 100)
