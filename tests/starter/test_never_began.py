"""Is anybody exposed by a rollout that never began? Nobody, as its history in Temporal says; and not a word more."""

from pathlib import Path

from rollout.messages import SIGNAL_EMERGENCY
from rollout.progress import RolloutStatus
from tests.starter.test_direct_without_the_store import TEMPORAL_IS_AWAY, typed
from tests.workflows.many_rollouts import SOON, Land, one_rollout
from tests.workflows.outside_faults import HUNG
from tests.workflows.small_plans import Shape, plan_of
from tests.workflows.world import Handle, World

NAME = "early"
CHECK = ("status", NAME, "--emergency-check")
TRYING_ITS_GATES = HUNG["Monitoring does not answer"]


async def trying_its_gates(land: Land, world: World) -> Handle:
    """A rollout that has read what serves now, and waits for the metrics before it takes anything."""
    TRYING_ITS_GATES.strike(land)
    handle = await world.start()
    await world.until_under_way(handle, "try_gates", 1)
    return handle


async def test_a_rollout_that_still_tries_its_gates_exposes_nobody(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, Shape()), tmp_path) as (land, world):
        await trying_its_gates(land, world)

        known, unknown = await typed(land, *CHECK), await typed(land, *CHECK, **TEMPORAL_IS_AWAY)
        elsewhere = await typed(land, *CHECK, "--environment", "moon")

    assert (known.code, known.out.splitlines()) == (
        0,
        [
            "safe       flags and traffic of early: its rollout has not begun: no flag is written, no traffic changed",
            "SAFE",
        ],
    )
    for ran in (unknown, elsewhere):
        assert (ran.code, ran.out.splitlines()[-1]) == (1, "UNKNOWN: what could not be read may be exposed")


async def test_a_rollout_that_was_taken_back_before_it_began_has_left_its_traffic_alone(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, Shape()), tmp_path) as (land, world):
        handle = await trying_its_gates(land, world)
        await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "typed too soon"})
        await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)

        known, unknown = await typed(land, *CHECK), await typed(land, *CHECK, **TEMPORAL_IS_AWAY)

    assert (known.code, known.out.splitlines()[1:]) == (
        0,
        ["safe       traffic of early: no rollout has changed it, as their history in Temporal says", "SAFE"],
    )
    assert unknown.code == 1
    assert "unreadable traffic of early: the flag store does not hold what it was before a rollout" in unknown.out


async def test_beside_an_earlier_one_that_was_terminated_nobody_says_what_its_traffic_was(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, Shape()), tmp_path) as (land, world):
        first = await world.start()
        await world.until(first, RolloutStatus.SOAKING, stage="canary", step=SOON)
        await first.terminate("a mistake")
        await land.reading.flushall()
        await trying_its_gates(land, world)

        ran = await typed(land, *CHECK)

    assert (ran.code, ran.out.splitlines()[-1]) == (1, "UNKNOWN: what could not be read may be exposed")
