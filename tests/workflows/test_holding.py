"""A hold is neither a pass nor a rollback: the credit clock stands, people are told why, and it ends by itself."""

from datetime import timedelta
from pathlib import Path

from rollout.progress import RolloutProgress, RolloutStatus
from tests.workflows.changed_plans import hurried
from tests.workflows.measured_faults import slow_websockets
from tests.workflows.standing import in_stage, until_told
from tests.workflows.world import World, laid_out

MINUTE = timedelta(minutes=1)
OUTAGE = timedelta(hours=3)


def events(progress: RolloutProgress, kind: str) -> list[str]:
    return [event.text for event in progress.timeline if event.kind == kind]


async def test_a_failing_source_holds_and_its_outage_costs_no_credit_once_the_data_are_there(
    tmp_path: Path,
) -> None:
    async with laid_out(hurried(2 * OUTAGE), tmp_path) as world:
        handle = await in_stage(world, "internal")
        world.source.failing = "Cloud Monitoring answers 503"
        held = await world.until(handle, RolloutStatus.HOLDING, step=MINUTE)
        await world.passes(OUTAGE)
        world.source.failing = ""

        after = await world.until(handle, RolloutStatus.SOAKING, stage="canary")

        internal = after.stages[1]
        assert "Cloud Monitoring answers 503" in held.why
        assert [text.split(":")[0] for text in events(after, "hold")] == [
            "holding",
            "still holding, a person is needed",
            "the hold ended",
        ]
        assert internal.credit == internal.soak
        assert internal.passed_at is not None
        assert internal.entered_at is not None
        assert internal.passed_at - internal.entered_at < internal.soak + OUTAGE / 3, "late data were not credited"


async def test_a_slow_websocket_holds_and_does_not_roll_back(world: World) -> None:
    handle = await in_stage(world, "internal")

    world.source.fault = slow_websockets
    held = await world.until(handle, RolloutStatus.HOLDING, step=MINUTE)

    assert "WebSocket event p95" in held.why
    assert "runs again when every gate passes" in held.next
    assert "`rollout resolve-hold continue request-isolation --reason …`" in held.next
    assert "warning" in {notice.severity for notice in await until_told(world, "holding")}


async def test_a_flag_that_somebody_else_turned_off_is_seen_within_a_check_and_holds(world: World) -> None:
    handle = await in_stage(world, "internal")
    flags = await world.flags()
    off = {"factory_pattern": flags.flags["factory_pattern"].model_copy(update={"exposure": "off", "bp": 0})}
    reply = await world.store.set_exposures(off, fence=flags.epoch, by="a stranger", reason="by hand")

    held = await world.until(handle, RolloutStatus.HOLDING, step=MINUTE)

    assert reply.accepted
    assert "flag factory_pattern is off, the rollout set internal" in held.why
    assert "`rollout resolve-hold adopt request-isolation --reason …`" in held.next
