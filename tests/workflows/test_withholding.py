"""One flag of several is turned off by a person: the rollout does it, knows it, and goes on with the others."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import WorkflowUpdateFailedError

from rollout.messages import UPDATE_WITHHOLD, Answer, FlagCommand
from rollout.progress import RolloutStatus
from tests.workflows.world import Handle, World, laid_out

COMMAND = FlagCommand(by="kim", reason="the factory is slow", flag="factory_pattern")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with laid_out("request-isolation.yaml", tmp_path) as laid:
        yield laid


async def withheld(world: World) -> Handle:
    handle = await world.start()
    await world.approve(handle)
    await world.until(handle, RolloutStatus.SOAKING, stage="internal")
    answer: Answer = await handle.execute_update(UPDATE_WITHHOLD, COMMAND, result_type=Answer)
    assert answer.happened == "factory_pattern turned off"
    return handle


async def shown(world: World) -> dict[str, str]:
    return {flag: exposure.in_words() for flag, exposure in (await world.flags()).flags.items()}


async def test_a_flag_that_was_turned_off_stays_off_in_later_stages_while_the_others_rise(world: World) -> None:
    handle = await withheld(world)
    assert await shown(world) == {
        "request_isolation": "internal",
        "factory_pattern": "off",
        "websocket_isolation": "internal",
    }

    canary = await world.until(handle, RolloutStatus.SOAKING, RolloutStatus.HOLDING, stage="canary")

    assert canary.status is RolloutStatus.SOAKING, canary.why
    assert await shown(world) == {"request_isolation": "10%", "factory_pattern": "off", "websocket_isolation": "10%"}
    assert any("factory_pattern turned off by kim: the factory is slow" in event.text for event in canary.timeline)


async def test_turning_off_twice_or_a_flag_of_nobody_is_refused(world: World) -> None:
    handle = await withheld(world)
    with pytest.raises(WorkflowUpdateFailedError) as twice:
        await handle.execute_update(UPDATE_WITHHOLD, COMMAND, result_type=Answer)
    assert "stays off to the end" in str(twice.value.cause)
    stranger = COMMAND.model_copy(update={"flag": "basket"})
    with pytest.raises(WorkflowUpdateFailedError) as unknown:
        await handle.execute_update(UPDATE_WITHHOLD, stranger, result_type=Answer)
    assert "flag 'basket' does not belong to the plan; there are request_isolation" in str(unknown.value.cause)
