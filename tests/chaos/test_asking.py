"""The person of a chaos run asks until there is an answer, but not longer than the run lasts."""

import asyncio

import pytest
from temporalio.testing import WorkflowEnvironment

from chaos.asking import Person
from config.data_converter import DATA_CONVERTER
from starter.rollouts import Rollouts
from tests.binaries import TEMPORAL

A_RUN_SECONDS = 2.0
PATIENCE_SECONDS = 20.0


async def test_a_person_whom_nobody_answers_lets_go_when_the_run_is_over() -> None:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL), data_converter=DATA_CONVERTER
    ) as environment:
        await environment.client.start_workflow("Nobody", id="rollout/nobody", task_queue="nobody")
        person = Person(Rollouts(environment.client), "rollout/nobody")

        async def run() -> None:
            async with asyncio.timeout(A_RUN_SECONDS):
                await person.approve()

        asking = asyncio.create_task(run())
        done, _ = await asyncio.wait([asking], timeout=PATIENCE_SECONDS)

        assert done == {asking}
        with pytest.raises(TimeoutError):
            await asking
        assert person.acknowledged.updates == []
