"""The bets of both keys on what one interval counted: bad events among the requests of two groups."""

from rollout.capped_bets import WELL_KNOWN_EVENTS, WELL_KNOWN_EVENTS_BEFORE, capped_bets
from rollout.sequential_model import GroupCounts
from rollout.sequential_state import Keys
from rollout.statistics import LARGEST_GAIN, Mixture, StakeOf, fastest_stake, log_won, stake_for

UNKNOWN_BURST = 2.0
"""The burst size of a gate that has no control to estimate it from."""


def with_bets(
    keys: Keys,
    treated: GroupCounts,
    control: GroupCounts,
    allowed: tuple[tuple[float, float], tuple[float, float]],
    risk_ratios: tuple[float, ...],
    minutes: float,
) -> Keys:
    """Both keys after the interval, each with its own (margin, ratio), and the burst size learnt from the past only."""
    burst = keys.dispersion.burst if control.total else UNKNOWN_BURST
    largest = keys.dispersion.largest_gain if control.total else LARGEST_GAIN
    stake_of = _stakes(keys)
    wealth = []
    bets: list[tuple[float, float]] = []
    known: float | None = None
    for mixture, (margin, ratio) in zip((keys.harm, keys.beyond), allowed, strict=True):
        if ratio != known:
            bets, known = _bets(treated, control, ratio, burst, risk_ratios, stake_of), ratio
        factors = [won - margin * stake * treated.total for stake, won in bets]
        wealth.append(mixture.after(factors, minutes, largest_gain=largest, largest_cash=keys.largest_cash))
    counts = (treated.bad, treated.total, control.bad, control.total)
    learnt = keys.dispersion_after(*counts, minutes) if control.total else None
    return keys.model_copy(
        update={
            "capped": _capped(keys, treated, control, allowed, risk_ratios, minutes),
            "harm": wealth[0],
            "beyond": wealth[1],
            "dispersion": learnt or keys.dispersion,
            "bad": keys.bad + treated.bad,
            "total": keys.total + treated.total,
            "control_bad": keys.control_bad + control.bad,
            "control_total": keys.control_total + control.total,
        }
    )


def _capped(
    keys: Keys,
    treated: GroupCounts,
    control: GroupCounts,
    allowed: tuple[tuple[float, float], tuple[float, float]],
    risk_ratios: tuple[float, ...],
    minutes: float,
) -> tuple[Mixture, Mixture] | None:
    """What the second bettor has after the interval; where shares are compared, both keys allow the same ratio."""
    if keys.capped is None:
        return None
    share = allowed[0][1] * treated.total / control.total
    well_known = WELL_KNOWN_EVENTS if keys.by_own_rates else WELL_KNOWN_EVENTS_BEFORE
    bets = capped_bets(
        treated.bad,
        control.bad,
        share=share,
        burst=keys.dispersion.burst,
        known=keys.dispersion.events / well_known,
        risk_ratios=risk_ratios,
        stake_of=_stakes(keys),
    )
    harm, beyond = (
        mixture.after(
            [min(bet.largest, bet.won - margin * bet.stake * treated.total) for bet in bets],
            minutes,
            largest_cash=keys.largest_cash,
        )
        for mixture, (margin, _) in zip(keys.capped, allowed, strict=True)
    )
    return harm, beyond


def _stakes(keys: Keys) -> StakeOf:
    return fastest_stake if keys.bets_by_dispersion else stake_for


def _bets(
    treated: GroupCounts,
    control: GroupCounts,
    ratio: float,
    burst: float,
    risk_ratios: tuple[float, ...],
    stake_of: StakeOf,
) -> list[tuple[float, float]]:
    """For each risk ratio the stake, and what it has won; keys that differ by their margin alone share these."""
    share = ratio * treated.total / control.total if control.total else 0.0
    bets = []
    for risk_ratio in risk_ratios:
        stake = stake_of(risk_ratio, share, burst) if control.total else (risk_ratio - 1) / burst
        bets.append((stake, log_won(treated.bad, control.bad, share=share, stake=stake, burst=burst)))
    return bets


def with_difference(
    before: Keys, grown: Keys, treated: GroupCounts, control: GroupCounts, margin: float, ratio: float
) -> Keys:
    """The average difference with the interval in it, its variance taken where the limit is just reached."""
    weight = treated.total * control.total / (treated.total + control.total)
    reference = pooled_share(grown.control_bad, grown.control_total)
    at_limit = min(1.0, max(ratio * reference + margin, pooled_share(grown.bad, grown.total)))
    variance = at_limit * (1 - at_limit) / treated.total + ratio**2 * reference * (1 - reference) / control.total
    difference = treated.bad / treated.total - ratio * control.bad / control.total
    return with_average(grown, difference, weight, before.dispersion.phi * weight**2 * variance, treated.total)


def with_average(keys: Keys, difference: float, weight: float, variance: float, total: int) -> Keys:
    return keys.model_copy(update={"average": keys.average.after(difference, weight, variance, total)})


def pooled_share(bad: int, total: int) -> float:
    """A share that is never 0 or 1."""
    return (bad + 1) / (total + 100)
