"""The second bettor: no gain from healthy traffic in which errors come in bursts, and sooner there where it is not."""

import math
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pytest

from bench.gate_fleet import judge_fleet
from bench.gate_traffic import FAMILIES
from bench.gates import Trial, by_the_judge, draw, together
from rollout.capped_bets import CappedBet, believed_burst, capped_bets
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate
from rollout.sequential_state import SequentialState
from rollout.statistics import ERROR_RATIOS, StakeOf, fastest_stake, stake_for

GATE = SequentialGate.model_validate({"kind": "versus_control", "max_difference": "1%"})
START = datetime(2026, 1, 1, tzinfo=UTC)
LARGEST_COUNT = 1_024
KNOWN = 1.0
NOTHING = 1e-13
"""A probability that is left out; the means below are known to far more digits than are asked of them."""


def of_bursts(mean: float, size: float) -> npt.NDArray[np.float64]:
    """The probability of each count where bursts arrive independently and have geometric sizes: from its transform."""
    circle = np.exp(-2j * np.pi * np.arange(LARGEST_COUNT) / LARGEST_COUNT)
    one = circle / size / (1 - (1 - 1 / size) * circle)
    return np.maximum(np.fft.ifft(np.exp(mean / size * (one - 1))).real, 0.0)


def bets(bad: int, control_bad: int, share: float, burst: float, stake_of: StakeOf = fastest_stake) -> list[CappedBet]:
    return capped_bets(
        bad, control_bad, share=share, burst=burst, known=KNOWN, risk_ratios=ERROR_RATIOS, stake_of=stake_of
    )


@pytest.mark.parametrize("stake_of", [fastest_stake, stake_for])
@pytest.mark.parametrize("size", [2.0, 6.0])
@pytest.mark.parametrize("share", [0.01, 1 / 9, 0.25, 0.43, 1.0])
def test_the_mean_of_what_an_interval_multiplies_the_wealth_by_is_at_most_one(
    share: float, size: float, stake_of: StakeOf
) -> None:
    for mean in (0.03, 0.3, 1.0, 3.0, 10.0):
        expected = min(mean, 300 * share)
        treated, control = of_bursts(expected, size), of_bursts(expected / share, size)
        ours, theirs = np.flatnonzero(treated > NOTHING), np.flatnonzero(control > NOTHING)
        chances = treated[ours][:, None] * control[theirs][None, :]
        gains, losses, caps = (
            [bet[part] for bet in bets(bad, other, share, size, stake_of)]
            for bad, other, part in ((1, 0, 1), (0, 1, 1), (0, 0, 2))
        )
        for gain, loss, largest in zip(gains, losses, caps, strict=True):
            won = np.minimum(ours[:, None] * gain + theirs[None, :] * loss, largest)
            assert float((chances * np.exp(won)).sum()) <= 1 + 1e-4


def test_bursts_are_believed_in_full_beside_a_control_group_of_the_same_size_and_never_below_one() -> None:
    assert believed_burst(3.0, 1.0, KNOWN) == 3.0
    assert 1.0 < believed_burst(3.0, 0.1, KNOWN) < believed_burst(3.0, 0.3, KNOWN) < 3.0
    assert believed_burst(1.0, 0.1, KNOWN) == 1.0


def test_bursts_of_which_little_is_known_are_believed_as_they_were_learnt() -> None:
    assert believed_burst(3.0, 0.1, 0.0) == 3.0
    assert believed_burst(3.0, 0.1, KNOWN) < believed_burst(3.0, 0.1, 0.1) < 3.0


def test_no_interval_wins_more_than_two_bursts_would() -> None:
    assert all(bet.largest <= 1.2 for bet in bets(500, 0, share=0.1, burst=3.0))


def test_a_state_without_the_second_bettor_goes_on_without() -> None:
    alone = begin(GATE)
    alone = alone.model_copy(update={"keys": (alone.keys[0].model_copy(update={"capped": None}),)})
    counts = GroupCounts(total=120, bad=3), GroupCounts(total=1_080, bad=5)
    after, judged = step(GATE, alone, Interval(end=START, treated=counts[0], control=counts[1]))

    assert after.keys[0].capped is None
    assert judged.evidence.harm == after.keys[0].harm.wealth
    assert SequentialState.model_validate_json(after.model_dump_json()).keys[0].capped is None


def test_the_fleet_and_the_judge_name_the_same_minute() -> None:
    bursts = next(family for family in FAMILIES if family.name == "bursts")
    rows = [draw(Trial(bursts, 20.0, 240, 0.1, 0.03, 60), seed) for seed in range(3)]
    fleet_says = judge_fleet(together(rows), max_difference=0.01).rolled_back.tolist()

    assert math.prod(fleet_says) > 0
    assert [by_the_judge(row) for row in rows] == fleet_says
