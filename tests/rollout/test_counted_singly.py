"""Regressions of single errors are found before bursts are known, by how evenly they come; bursts are not."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import mean, median

import numpy as np
import pytest

from bench.gate_traffic import FAMILIES, FURTHER, Family, minutes
from rollout.counted_singly import (
    BORNE_OUT,
    FEWEST_INTERVALS,
    FIRST_INTERVALS,
    HARM,
    LEAST_AT_LIMIT,
    WELL_KNOWN_EVENTS,
    CountedSingly,
    unevenness_of,
)
from rollout.residuals import Residuals
from rollout.sequential_gate import begin, step
from rollout.sequential_model import GroupCounts, Interval, SequentialGate, SequentialJudgement
from rollout.sequential_state import SequentialState

GATE = SequentialGate.model_validate({"kind": "versus_control", "max_difference": "1%"})
START = datetime(2026, 1, 1, tzinfo=UTC)
TREATED, CONTROL = 120, 1_080
"""Requests a minute: 20 a second, a tenth of them treated."""
STEADY, BURSTS, LARGE_BURSTS = FAMILIES[0], FAMILIES[4], FURTHER[2]
EVEN = (3, 2, 4, 3, 2, 3, 4, 2, 3, 3)
"""Two points more than control has, one by one; of control there are six in a minute."""
OF_CONTROL = (6, 5, 7, 6, 5, 6, 4, 7, 6, 6)


def judged(
    errors: Sequence[int],
    of_control: Sequence[int],
    *,
    sizes: tuple[int, int] = (TREATED, CONTROL),
    state: SequentialState | None = None,
) -> tuple[SequentialState, list[SequentialJudgement]]:
    state, said = state or begin(GATE), []
    since = state.newest or START
    for minute, (bad, control_bad) in enumerate(zip(errors, of_control, strict=True), start=1):
        interval = Interval(
            end=since + timedelta(minutes=minute),
            treated=GroupCounts(total=sizes[0], bad=bad),
            control=GroupCounts(total=sizes[1], bad=control_bad),
        )
        state, judgement = step(GATE, state, interval)
        said.append(judgement)
    return state, said


def simulated(family: Family, seed: int, excess: float, length: int) -> list[SequentialJudgement]:
    shares, more = np.full(length, 0.1), np.full(length, excess)
    data = minutes(np.random.default_rng([seed, 99]), family, per_second=20.0, shares=shares, excess=more)
    state, said = begin(GATE), []
    for at in range(length):
        interval = Interval(
            end=START + timedelta(minutes=at + 1),
            treated=GroupCounts(total=int(data.treated[at]), bad=int(data.treated_bad[at])),
            control=GroupCounts(total=int(data.control[at]), bad=int(data.control_bad[at])),
        )
        state, judgement = step(GATE, state, interval)
        said.append(judgement)
    return said


def rolled_back_after(said: Sequence[SequentialJudgement]) -> float:
    found = (minute for minute, judgement in enumerate(said, start=1) if judgement.decision == "rollback")
    return next(found, math.inf)


def begun_before() -> SequentialState:
    """A state that began before anybody took bad events for single ones."""
    state = begin(GATE)
    return state.model_copy(update={"keys": (state.keys[0].model_copy(update={"singly": None}),)})


def singly_of(state: SequentialState) -> CountedSingly:
    singly = state.keys[0].singly
    assert singly is not None
    return singly


def test_two_points_more_errors_one_by_one_are_found_in_some_eight_minutes() -> None:
    found = [rolled_back_after(simulated(STEADY, seed, 0.02, 60)) for seed in range(30)]

    assert median(found) <= 9
    assert max(found) < 30


def test_single_errors_convict_as_soon_as_their_evenness_can_be_told() -> None:
    state, said = judged(EVEN, OF_CONTROL)

    assert rolled_back_after(said) == FEWEST_INTERVALS
    assert singly_of(state).convicts
    evidence = said[-1].evidence
    assert evidence.harm >= evidence.harm_needed >= math.exp(HARM)
    assert evidence.beyond >= evidence.beyond_needed > 1


def test_as_many_errors_that_come_in_bursts_do_not_convict() -> None:
    uneven = (0, 0, 9, 6, 0, 0, 0, 8, 6, 0)
    assert sum(uneven) == sum(EVEN)

    state, said = judged(uneven, OF_CONTROL)

    assert singly_of(state).harm.wealth > math.exp(HARM), "would he only take them one by one"
    assert not singly_of(state).convicts
    assert rolled_back_after(said) == math.inf


def test_uneven_errors_of_control_ask_for_more_too() -> None:
    """Where control's errors come in bursts, those of the treated do."""
    even, _ = judged(EVEN, OF_CONTROL)
    uneven, _ = judged(EVEN, (0, 25, 1, 0, 0, 28, 0, 0, 4, 0))

    assert singly_of(uneven).unevenness > 1.5 * singly_of(even).unevenness


@pytest.mark.parametrize("family", [BURSTS, LARGE_BURSTS], ids=lambda family: family.name)
def test_no_healthy_first_hour_is_taken_back_whose_errors_come_in_bursts(family: Family) -> None:
    decisions = {judgement.decision for seed in range(60) for judgement in simulated(family, seed, 0.0, 60)}

    assert "rollback" not in decisions


def test_in_the_first_intervals_nobody_convicts_by_errors_that_come_as_bursts_do() -> None:
    """Bursts of a dozen, as simulated: their evidence remains without the best run, and convinces the other bettors."""
    bursts = (10, 7, 7, 3, 1, 2, 2, 1, 0, 0, 14, 12, 12, 9, 1)
    of_control = (0, 0, 0, 1, 6, 18, 9, 8, 1, 5, 2, 3, 2, 16, 2)
    _, without = judged(bursts, of_control, sizes=(140, 1_290), state=begun_before())
    _, said = judged(bursts, of_control, sizes=(140, 1_290))

    assert rolled_back_after(without) < FIRST_INTERVALS
    assert rolled_back_after(said) == math.inf
    assert {"too few intervals have told whether errors come in bursts"} & {
        judgement.reason.rpartition("so far ")[2] for judgement in said if judgement.decision == "hold"
    }


def test_a_state_that_began_before_goes_on_without_him() -> None:
    state, said = judged(EVEN, OF_CONTROL, state=SequentialState.model_validate_json(begun_before().model_dump_json()))

    assert state.keys[0].singly is None
    assert rolled_back_after(said) == math.inf


def test_what_he_has_counted_survives_being_stored() -> None:
    state, _ = judged(EVEN[:5], OF_CONTROL[:5])
    again = SequentialState.model_validate_json(state.model_dump_json())

    assert again == state
    assert judged(EVEN[5:], OF_CONTROL[5:], state=again) == judged(EVEN[5:], OF_CONTROL[5:], state=state)


def test_he_says_nothing_where_the_limit_would_bring_hardly_an_error_in_an_interval() -> None:
    fewest = math.ceil(LEAST_AT_LIMIT / 0.01)
    counted, _ = judged((1,) * 3, (2,) * 3, sizes=(fewest, 9 * fewest))
    not_counted, _ = judged((1,) * 3, (2,) * 3, sizes=(fewest - 1, 9 * fewest))

    assert singly_of(counted).intervals == 3
    assert singly_of(not_counted) == CountedSingly()


def test_once_bursts_are_well_known_quiet_hours_are_forgotten_and_the_past_is_asked() -> None:
    healthy = ((0, 1, 1, 0, 1) * 20, (5, 6, 7, 6, 5) * 20)
    quiet, _ = judged(*healthy)

    assert quiet.keys[0].dispersion.events >= WELL_KNOWN_EVENTS
    assert singly_of(quiet).intervals == 0
    worse, said = judged(EVEN + EVEN, OF_CONTROL + OF_CONTROL, state=quiet)
    assert FEWEST_INTERVALS <= singly_of(worse).intervals <= rolled_back_after(said) <= 20
    known_to_come_singly = unevenness_of((1.0, 0.0), (1.0, 0.0), 400, 1.2, WELL_KNOWN_EVENTS)
    known_to_come_in_bursts = unevenness_of((1.0, 0.0), (1.0, 0.0), 400, 5.0, WELL_KNOWN_EVENTS)
    assert known_to_come_in_bursts > 10 * known_to_come_singly


def test_a_burst_after_quiet_hours_that_told_little_of_bursts_does_not_convict() -> None:
    quiet, _ = judged((0,) * 300, (0, 0, 0, 1, 0, 0) * 50, sizes=(100, 900))
    state, said = judged((4,) * 6 + (0,) * 6, (0,) * 12, sizes=(100, 900), state=quiet)

    assert state.keys[0].dispersion.events < WELL_KNOWN_EVENTS
    assert rolled_back_after(said) == math.inf
    assert not singly_of(state).convicts


def test_where_most_intervals_are_too_small_for_him_the_others_do_not_wait_for_him() -> None:
    """Two of 28 requests fail beside two of 252: in the first minute there were just enough for him to count."""
    first, _ = judged((2,), (2,), sizes=(40, 360))
    _, said = judged((2,) * 40, (2,) * 40, sizes=(28, 252), state=first)

    assert rolled_back_after(said) < FIRST_INTERVALS


def test_years_of_daily_intervals_are_judged_to_the_last() -> None:
    daily = GATE.model_copy(update={"interval": timedelta(days=1)})
    state = begin(daily)
    for day in range(1, 1_200):
        group = GroupCounts(total=1_000_000, bad=5_000)
        state, judgement = step(daily, state, Interval(end=START + timedelta(days=day), treated=group, control=group))

    assert judgement.decision == "advance"


def test_what_bears_others_out_is_less_than_what_convicts() -> None:
    state, _ = judged(EVEN[:6], OF_CONTROL[:6])
    singly = singly_of(state)

    assert not singly.convicts
    assert singly.bears_out == (math.log(singly.harm.wealth) >= BORNE_OUT * HARM * singly.unevenness)
    assert singly.bears_out


class TestResiduals:
    @staticmethod
    def shape_of(bad: Sequence[int], total: Sequence[int]) -> tuple[float, float]:
        residuals = Residuals()
        for one, of in zip(bad, total, strict=True):
            residuals = residuals.after(one, of)
        return residuals.shape

    def test_independent_errors_have_a_dispersion_of_one_and_nothing_in_common_whatever_the_load(self) -> None:
        random = np.random.default_rng(5)
        total = random.integers(200, 2_000, 20_000)

        dispersion, common = self.shape_of(random.poisson(total * 0.01).tolist(), total.tolist())

        assert dispersion == pytest.approx(1.0, abs=0.03)
        assert common == pytest.approx(0.0, abs=0.05)

    def test_bursts_of_geometric_size_have_the_dispersion_that_theory_gives_them(self) -> None:
        """The variance of errors in bursts of mean size m within an interval is 2 m - 1 times that of single ones."""
        random = np.random.default_rng(6)
        bursts = random.poisson(4.0, 20_000)
        bad = bursts + np.where(bursts > 0, random.negative_binomial(np.maximum(bursts, 1), 1 / 3), 0)

        dispersion, _ = self.shape_of(bad.tolist(), [1_000] * 20_000)

        assert dispersion == pytest.approx(5.0, rel=0.05)

    def test_what_spreads_over_neighbouring_intervals_is_common_to_them(self) -> None:
        random = np.random.default_rng(7)
        begun = random.poisson(2.0, 20_001)

        _, common = self.shape_of((begun[1:] + begun[:-1]).tolist(), [1_000] * 20_000)

        assert common == pytest.approx(1.0, abs=0.06), "half of each interval's errors came with the one before"

    def test_an_interval_without_requests_tells_nothing(self) -> None:
        assert Residuals().after(0, 0) == Residuals()
        assert mean(self.shape_of([2, 2, 0, 2], [100, 100, 0, 100])) < 0.2
