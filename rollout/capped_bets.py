"""A second bettor, who lets no interval count more than about two bursts, and may believe less of their size for that.

The first bettor is safe against bursts of any number in an interval, because each counts once only, and pays for it
wherever bad events are few: he has to learn little from each. Where one interval is not allowed to win more than two
bursts would, the same mean of at most 1 holds with a smaller burst size; how much smaller was found by enumeration
(`tests/rollout/test_capped_bets.py`). It depends on how few are treated beside control: a control group of the same
size wins back what its own bursts lose, and nothing can be taken off there.
"""

from typing import NamedTuple

from rollout.statistics import StakeOf, all_won

CAPPED_BURSTS, CAPPED_GAIN = 2.0, 1.2
"""What an interval may win: so many bursts, and in log wealth."""
DISCOUNT, NO_DISCOUNT_FROM = 0.8, 0.55
"""The part of a burst beyond its first event that need not be believed, where hardly anybody is treated; it falls from
a twentieth on, and ends where treated are so many times control."""
FEE_WITHOUT_CONTROL = 0.002
"""In log wealth, for each interval that is held against a limit: what the mean may be above 1 where bursts are small
(`tests/rollout/test_limits.py`), paid beforehand."""
WELL_KNOWN_EVENTS, WELL_KNOWN_EVENTS_BEFORE = 300, 1_000
"""Bad events that tell how large bursts are: with fewer, less is taken off, as what is learnt may be too small. The
second in states that began before bursts were told by each group's own rate, which knows them sooner."""


class CappedBet(NamedTuple):
    """What the bad events of an interval win a bet of `stake`, and the most that the whole interval may."""

    stake: float
    won: float
    largest: float


def believed_burst(burst: float, share: float, known: float) -> float:
    """The burst size of the second bettor.

    `share` is treated requests over control's, times the ratio allowed; `known` how many bad events told of bursts over
    how many tell enough.
    """
    discount = DISCOUNT * min(1.0, max(0.0, 2 * (NO_DISCOUNT_FROM - share))) * min(1.0, known)
    return 1 + (burst - 1) * (1 - discount)


def capped_bets(
    bad: int,
    control_bad: int,
    *,
    share: float,
    burst: float,
    known: float,
    risk_ratios: tuple[float, ...],
    stake_of: StakeOf,
) -> list[CappedBet]:
    """One bet per risk ratio; `burst` is what was learnt of bursts, `known` how well."""
    believed = believed_burst(burst, share, known)
    stakes = [stake_of(risk_ratio, share, believed) for risk_ratio in risk_ratios]
    gains = all_won(1, 0, share=share, stakes=stakes, burst=believed)
    losses = all_won(0, control_bad, share=share, stakes=stakes, burst=believed)
    return [
        CappedBet(stake, bad * gain + loss, min(CAPPED_GAIN, CAPPED_BURSTS * (believed * gain)))
        for stake, gain, loss in zip(stakes, gains, losses, strict=True)
    ]
