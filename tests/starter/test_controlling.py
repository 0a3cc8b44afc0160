"""A command that is under way while something else ends is taken all the same."""

import asyncio
import threading
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from config.data_converter import DATA_CONVERTER
from rollout.commands import CommandName
from rollout.messages import Answer, Command
from starter.controlling import ask
from starter.rollouts import Rollouts
from tests.binaries import TEMPORAL

CALL_IS_UNDER_WAY, COMMAND_IS_UNDER_WAY, CALL_HAS_ENDED = threading.Event(), threading.Event(), threading.Event()
ASKED: list[str] = []
BETWEEN_LOOKS_SECONDS = 0.01


@activity.defn
async def until_the_command_is_under_way() -> None:
    CALL_IS_UNDER_WAY.set()
    await asyncio.to_thread(COMMAND_IS_UNDER_WAY.wait)


@workflow.defn(sandboxed=False)
class EndsBesideItsCall:
    """As a rollout that is finished while its guard looks."""

    def __init__(self) -> None:
        self._finished = False

    @workflow.run
    async def run(self) -> None:
        workflow.start_activity(until_the_command_is_under_way, start_to_close_timeout=timedelta(minutes=1))
        await workflow.wait_condition(lambda: self._finished)

    @workflow.update(name=CommandName.FINISH)
    async def finish(self, command: Command) -> Answer:
        update = workflow.current_update_info()
        assert update is not None
        ASKED.append(update.id)
        COMMAND_IS_UNDER_WAY.set()
        # The task with the command lasts until the server has heard that the call ended.
        CALL_HAS_ENDED.wait()
        self._finished = True
        return Answer(happened="finished", next=f"nothing, {command.by}", status="completed")


async def end_the_task_once_its_call_has_ended(handle: WorkflowHandle[EndsBesideItsCall, None]) -> None:
    await asyncio.to_thread(COMMAND_IS_UNDER_WAY.wait)
    while (await handle.describe()).raw_description.pending_activities:  # noqa: ASYNC110  (the server is asked)
        await asyncio.sleep(BETWEEN_LOOKS_SECONDS)
    CALL_HAS_ENDED.set()


async def test_a_command_whose_task_the_server_gives_up_is_asked_for_again_and_is_one_command() -> None:
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL), data_converter=DATA_CONVERTER
    )
    async with environment:
        client = environment.client
        worker = Worker(
            client, task_queue="q", workflows=[EndsBesideItsCall], activities=[until_the_command_is_under_way]
        )
        async with worker:
            handle = await client.start_workflow(EndsBesideItsCall.run, id="rollout/ends", task_queue="q")
            await asyncio.to_thread(CALL_IS_UNDER_WAY.wait)

            command = ask(Rollouts(client), handle.id, CommandName.FINISH, Command(by="kim"), None)
            answer, _ = await asyncio.gather(command, end_the_task_once_its_call_has_ended(handle))

            await handle.result()
    assert answer.happened == "finished"
    assert len(ASKED) > 1
    assert len(set(ASKED)) == 1
