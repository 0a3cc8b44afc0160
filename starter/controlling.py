"""Asking a running rollout for something: an Update that is refused or accepted before anything is written."""

import uuid
from contextlib import suppress
from datetime import timedelta

from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from rollout.messages import NOT_CARRIED_OUT, Answer, Command
from starter.outcome import CommandEnds, ExitCode, failed, refused
from starter.rollouts import Rollouts, how_it_ended, name_of

ANSWERED_WITHIN = timedelta(seconds=10)
TIMES_ASKED = 5
"""The server gives up a task of the workflow, and a command in it, where something else comes in its very moment, most
often the end of a call beside `finish`. Asked again with the same id it is one command."""


class NotCarriedOut(CommandEnds):
    """The rollout took the command, and what it then asked for outside was refused; the text says what has changed."""

    def __init__(self, text: str) -> None:
        super().__init__(ExitCode.FAILED, text)


async def ask(rollouts: Rollouts, workflow_id: str, update: str, command: Command, request_id: str | None) -> Answer:
    """Send a command and wait for its answer. The same `request_id` twice is one command.

    Raises:
        NotCarriedOut: it was taken, and failed.
        CommandEnds: the rollout refuses, is closed, or no worker answered.
    """
    name, request_id = name_of(workflow_id), request_id or str(uuid.uuid4())
    try:
        for _ in range(TIMES_ASKED - 1):
            with suppress(_GivenUpError):
                return await _asked_once(rollouts, workflow_id, update, command, request_id)
        return await _asked_once(rollouts, workflow_id, update, command, request_id)
    except WorkflowUpdateFailedError as failure:
        if isinstance(failure.cause, ApplicationError) and failure.cause.type == NOT_CARRIED_OUT:
            raise NotCarriedOut(f"{name}: {failure.cause.message}") from None
        raise refused(f"{name}: {failure.cause}. Nothing was changed") from None
    except WorkflowUpdateRPCTimeoutOrCancelledError:
        raise failed(
            f"{name}: no worker took `{update}` within {ANSWERED_WITHIN.total_seconds():g} s, so nothing has changed "
            f"yet; it may still be taken when one comes back (`rollout worker`). See `rollout status {name}` then"
        ) from None
    except RPCError as failure:
        if failure.status is RPCStatusCode.NOT_FOUND:
            observation = await rollouts.observe(workflow_id)
            raise refused(
                f"{name}: cannot {update.replace('_', ' ')}, the rollout is closed ({how_it_ended(observation)})"
            ) from None
        raise failed(f"{name}: Temporal did not take `{update}`: {failure.message}") from failure


class _GivenUpError(RPCError):
    """The command is in no history yet."""


async def _asked_once(rollouts: Rollouts, workflow_id: str, update: str, command: Command, request_id: str) -> Answer:
    try:
        sent = await rollouts.client.get_workflow_handle(workflow_id).start_update(
            update,
            command,
            id=request_id,
            wait_for_stage=WorkflowUpdateStage.COMPLETED,
            result_type=Answer,
            rpc_timeout=ANSWERED_WITHIN,
        )
        answer: Answer = await sent.result()
    except RPCError as failure:
        if failure.status is RPCStatusCode.FAILED_PRECONDITION:
            raise _GivenUpError(failure.message, failure.status, failure.raw_grpc_status) from failure
        raise
    return answer
