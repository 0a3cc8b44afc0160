"""One rollout of the matrix: brought to its state, asked for things there, taken back, and read back."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateHandle, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from rollout.commands import CommandName, decisive, refusal
from rollout.flags import Exposure
from rollout.messages import SIGNAL_EMERGENCY, Answer
from rollout.plan import RolloutPlan
from rollout.progress import RollbackCause, RolloutProgress, RolloutStatus
from rollout.traffic import TrafficSplit
from tests.workflows.kept_promises import asked
from tests.workflows.many_rollouts import Land
from tests.workflows.matrix_cells import ASKS_FIRST, LEADS_TO, STATES, TENTH, Standing, message
from tests.workflows.matrix_checks import CHECKS, LOAD_WIRE, ONCE_CHECKED, ONCE_ENTERED
from tests.workflows.small_plans import Shape, plan_of
from tests.workflows.world import Handle, World

BETWEEN_LOOKS = 1.0
PATIENCE = 200.0
"""Seconds of real time, for a machine with much else to do."""

NOT_READ = "cannot resolve hold: flags or traffic could not be read"

WayBack = Literal["emergency", "cancellation"]


@dataclass(frozen=True)
class Cell:
    """A state, and what comes there: a command, or one of the two that take everything back."""

    state: RolloutStatus
    then: CommandName | WayBack
    check: str = ""
    """One of `CHECKS`, under way when it comes."""

    @property
    def name(self) -> str:
        return f"{self.check}-{self.state.value}-{self.then}".replace("_", "-").removeprefix("-")

    @property
    def leads_to(self) -> Standing | None:
        """Where the command leads; None for a way back."""
        if self.then in ("emergency", "cancellation"):
            return None
        command = CommandName(self.then)
        if self.check and self.state is RolloutStatus.ENTERING:
            return ONCE_ENTERED[command]
        return ONCE_CHECKED[command] if self.check == "afterwards" else LEADS_TO[self.state, command]

    @property
    def stands_at(self) -> tuple[Shape, Standing]:
        """What its plan is like, and where its rollout is seen to stand then."""
        if not self.check:
            return STATES[self.state]
        checked = CHECKS[self.check]
        return checked.shape, checked.standing

    @property
    def completes(self) -> bool:
        """After it nothing is left that could be taken back."""
        return self.leads_to is not None and self.leads_to.status is RolloutStatus.COMPLETED


class MatrixRollout:
    def __init__(self, land: Land, cell: Cell) -> None:
        self.cell = cell
        self._land = land
        shape, self._standing = cell.stands_at
        shape = replace(shape, check=shape.check.replace(LOAD_WIRE, land.load_wire.http_url))
        self._plan: RolloutPlan = plan_of(cell.name, shape)
        self._world: World = land.world(self._plan)
        self._given: list[WorkflowUpdateHandle[Answer]] = []
        self._handle: Handle
        self._before: TrafficSplit

    async def begin(self) -> None:
        """Start it, until it answers."""
        self._before = await self._traffic()
        if self.cell.state is RolloutStatus.STARTING:
            self._silence("utilizations")
        if self.cell.state is RolloutStatus.ENTERING and not self.cell.check:
            self._silence("smoke")
        self._handle = await self._world.start()
        await self._world.progress(self._handle)

    async def bring_about(self) -> None:
        """Lead it to its state."""
        soaking = Standing(RolloutStatus.SOAKING, TENTH)
        match self.cell.state:
            case RolloutStatus.AWAITING_WINDOW:
                for stage in ("dark", "canary"):
                    await self._until_waiting_for_its_window(stage)
                    await self._ask(CommandName.PROMOTE)
            case RolloutStatus.HOLDING:
                await self.until(soaking)
                self._land.source.busy_plans.add(self._plan.name)
            case RolloutStatus.PAUSED:
                await self.until(soaking)
                await self._ask(CommandName.PAUSE)
            case RolloutStatus.ROLLED_BACK:
                await self.until(soaking)
                await self._emergency()
        await self.until(self._standing)
        if self.cell.check:
            await self._world.until_under_way(self._handle, CHECKS[self.cell.check].activity, 1)

    async def begin_rolling_back(self) -> None:
        """Under a fault that keeps it from ending."""
        await self._emergency()
        await self.until_rolling_back()

    async def ask_what_is_refused(self) -> None:
        """Every command that its state does not allow: refused with the sentence of the table.

        What is wrong outside may move it to another state at any moment, by whose table it then goes.
        """
        for command in CommandName:
            if refusal(command, self.cell.state) is None:
                continue
            before = await self._world.progress(self._handle)
            if refusal(command, decisive(command, before.status, before)) is None:
                continue
            said: str | None = None
            try:
                await self._ask(command)
            except WorkflowUpdateFailedError as refused:
                said = str(refused.cause)
            after = await self._world.progress(self._handle)
            stood = {before.status, after.status, *_held_between(before, after)}
            # A hold beside the state it stands at may have come only after it was asked.
            seen = [(status, progress) for status in stood for progress in (before, after)]
            sentences = {refusal(command, decisive(command, status, progress)) for status, progress in seen}
            # Held meanwhile because something cannot be read, it says that no command can end that.
            unread = said is not None and None in sentences and said.startswith(NOT_READ)
            assert said in sentences or unread, f"{command}: {said}"

    async def give(self) -> None:
        """What comes in this cell. Its answer may have to wait for an outside system, so it is not waited for."""
        match self.cell.then:
            case "emergency":
                await self._emergency()
            case "cancellation":
                await self._handle.cancel()
            case command:
                self._given.append(await self._asked(command))

    async def _asked(self, command: CommandName) -> WorkflowUpdateHandle[Answer]:
        """As the command line asks: again, where the server gave up the task that the command was in."""
        request_id = str(uuid.uuid4())
        while True:
            try:
                return await self._handle.start_update(
                    command.value,
                    message(command, self._plan),
                    id=request_id,
                    wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                    result_type=Answer,
                )
            except RPCError as failure:
                if failure.status is not RPCStatusCode.FAILED_PRECONDITION:
                    raise

    async def be_answered(self) -> None:
        """The answer to the command, which must be that it was taken."""
        for given in self._given:
            await given.result()

    async def be_answered_at_once(self) -> None:
        """As above, where no outside system has to be waited for."""
        if self.cell.then not in ASKS_FIRST:
            await self.be_answered()

    async def follow(self) -> None:
        """Until it stands where its command leads, with nothing wrong outside."""
        if self.cell.leads_to is not None:
            await self.until(self.cell.leads_to)

    async def be_taken_back(self) -> None:
        """An emergency on top of whatever came; until the rollback has begun."""
        if self.cell.completes:
            return
        if self.cell.then not in ("emergency", "cancellation", CommandName.FINISH):
            await self._emergency()
        await self.until_rolling_back()

    async def end(self) -> None:
        """Everything is safe by reading it back, the way back is recorded, and every command has its answer."""
        if self.cell.completes:
            assert (await self._handle.result()).status is RolloutStatus.COMPLETED
            return
        by_hand = self.cell.state in (RolloutStatus.ROLLING_BACK, RolloutStatus.ROLLED_BACK)
        cancelled = self.cell.then == "cancellation" and not by_hand
        await self._end_rolled_back("cancelled" if cancelled else "emergency")

    async def end_by_itself(self) -> None:
        """As above, though nobody asked for it: its check has failed."""
        await self._end_rolled_back("stage_failed")

    async def _end_rolled_back(self, cause: RollbackCause) -> None:
        await self._until(lambda seen: seen.status is RolloutStatus.ROLLED_BACK, "to be rolled back")
        if self.cell.then is not CommandName.FINISH:
            await self._ask(CommandName.FINISH)
        result = await self._handle.result()
        assert result.status is RolloutStatus.ROLLED_BACK, result.why
        assert result.rollback is not None
        assert result.rollback.cause == cause, result.why
        await self.must_be_safe()
        for given in self._given:
            await self._must_have_an_answer(given)

    async def must_be_safe(self) -> None:
        """Every flag latched off with no lease left, and the traffic as it was before there was a rollout."""
        snapshot, traffic = await self._world.flags(), await self._traffic()
        assert snapshot.is_latched_off, snapshot
        assert not await self._land.reading.exists(self._world.store.keys.lease)
        assert traffic.shares == self._before.shares, traffic.in_words()

    async def until(self, standing: Standing) -> None:
        """Until it stands there, and flags and traffic, read back, are what its record says."""
        progress = await self._until(
            lambda seen: seen.status is standing.status and _shown_of(seen) == standing.shown, f"{standing}"
        )
        snapshot = await self._world.store.read()
        assert _in_words({} if snapshot is None else snapshot.flags) == standing.shown
        for key, split in progress.traffic.items():
            read = await self._traffic(key)
            assert read.shares == split.shares, f"{read.in_words()}, recorded {split.in_words()}"

    async def until_rolling_back(self) -> None:
        await self._until(lambda seen: seen.rollback is not None, "to be rolling back")

    async def _until_waiting_for_its_window(self, stage: str) -> None:
        await self._until(
            lambda seen: seen.current.name == stage and seen.status is RolloutStatus.AWAITING_WINDOW,
            f"{stage} to wait for its window",
        )

    async def _until(self, holds: Callable[[RolloutProgress], bool], what: str) -> RolloutProgress:
        until = time.monotonic() + PATIENCE
        while not holds(seen := await self._world.progress(self._handle)):
            if time.monotonic() > until:
                raise AssertionError(f"waited for {what}; stands at {seen.status}, {_shown_of(seen)}: {seen.why}")
            await asyncio.sleep(BETWEEN_LOOKS)
        return seen

    async def _ask(self, command: CommandName) -> None:
        await asked(self._handle, command, message(command, self._plan))

    async def _emergency(self) -> None:
        await self._handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})

    async def _traffic(self, key: str = "backend") -> TrafficSplit:
        """Read as the rollout reads: tried again where a busy machine does not answer in time."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return await self._world.cloud_run.read_traffic(self._plan.service_ref(key))
            except ApplicationError as failure:
                if failure.non_retryable or time.monotonic() > until:
                    raise
                await asyncio.sleep(BETWEEN_LOOKS)

    async def _must_have_an_answer(self, given: WorkflowUpdateHandle[Answer]) -> None:
        """Taken, or failed because everything was taken back meanwhile; not left open."""
        with contextlib.suppress(WorkflowUpdateFailedError):
            await given.result()

    def _silence(self, kind: str) -> None:
        self._land.source.silent_metrics.add(f"custom.googleapis.com/{self._plan.name}/{kind}")


def _held_between(before: RolloutProgress, after: RolloutProgress) -> set[RolloutStatus]:
    """A hold that came and may have gone again between two looks: the record has it."""
    new = after.timeline[len(before.timeline) :]
    return {RolloutStatus.HOLDING} if any(event.kind == "hold" for event in new) else set()


def _shown_of(progress: RolloutProgress) -> str:
    return _in_words(progress.flags)


def _in_words(flags: Mapping[str, Exposure]) -> str:
    return ", ".join(sorted({exposure.in_words() for exposure in flags.values()}))
