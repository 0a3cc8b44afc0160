"""Asking a rollout for something while its servers come and go, until the answer is known."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.service import RPCError, RPCStatusCode

from rollout.commands import CommandName
from rollout.messages import SIGNAL_EMERGENCY, Command
from starter.controlling import ask
from starter.outcome import CommandEnds, ExitCode
from starter.rollouts import Rollouts

BY = "chaos"
BETWEEN_TRIES_SECONDS = 0.2
ANSWERED_WITHIN = timedelta(seconds=5)


@dataclass
class Acknowledged:
    """What the rollout said yes to: ids of Updates, and whether the emergency signal was taken."""

    updates: list[str] = field(default_factory=list)
    emergency: bool = False


class Person:
    """Somebody who does not let go before the rollout has answered, or is closed."""

    def __init__(self, rollouts: Rollouts, workflow_id: str) -> None:
        self._rollouts = rollouts
        self._handle = rollouts.client.get_workflow_handle(workflow_id)
        self._workflow_id = workflow_id
        self.acknowledged = Acknowledged()

    async def is_open(self) -> bool:
        """Asked until the server answers."""
        while True:
            try:
                description = await self._handle.describe(rpc_timeout=ANSWERED_WITHIN)
            except RPCError:
                await asyncio.sleep(BETWEEN_TRIES_SECONDS)
            else:
                return description.close_time is None

    async def until_closed(self) -> None:
        while True:
            if not await self.is_open():
                return
            await asyncio.sleep(BETWEEN_TRIES_SECONDS)

    async def pause_and_resume(self, pause_at: float, resume_at: float) -> None:
        await asyncio.sleep(pause_at)
        if await self._once(CommandName.PAUSE, "pause"):
            await asyncio.sleep(resume_at - pause_at)
            await self._until_taken(CommandName.RESUME)

    async def approve(self) -> None:
        await self._until_taken(CommandName.APPROVE)

    async def emergency(self, at: float) -> None:
        await asyncio.sleep(at)
        while True:
            try:
                await self._handle.signal(SIGNAL_EMERGENCY, {"by": BY, "reason": "chaos"}, rpc_timeout=ANSWERED_WITHIN)
            except RPCError as failure:
                if failure.status is RPCStatusCode.NOT_FOUND:
                    return
                await asyncio.sleep(BETWEEN_TRIES_SECONDS)
            else:
                self.acknowledged.emergency = True
                return

    async def _until_taken(self, update: str) -> None:
        """A refusal is an answer of that moment: it is asked anew until it is taken, or there is nobody to ask."""
        tries = 0
        while await self.is_open():
            tries += 1
            if await self._once(update, f"{update}-{tries}"):
                return
            await asyncio.sleep(BETWEEN_TRIES_SECONDS)

    async def _once(self, update: str, request_id: str) -> bool:
        """One command; as long as its fate is unknown it is sent again with its id. False when it was refused."""
        while not _cancelled():
            try:
                await ask(self._rollouts, self._workflow_id, update, Command(by=BY, reason="chaos"), request_id)
            except CommandEnds as end:
                if end.code is ExitCode.REFUSED:
                    return False
            except RPCError:
                # Not even whether it is closed could be found out.
                await asyncio.sleep(BETWEEN_TRIES_SECONDS)
            else:
                self.acknowledged.updates.append(request_id)
                return True
        raise asyncio.CancelledError


def _cancelled() -> bool:
    """Whether this task is to end. Temporal's client tells a cancelled Update as an error of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
