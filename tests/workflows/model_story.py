"""One rollout and what happens to it: the steps of a script, and after each of them what must hold, read back.

The flags are read from Redis and from its audit trail, which has every write; the traffic is what the sandbox serves,
heard of at every change. So what held between two looks is known as well.
"""

import asyncio
import time
from dataclasses import replace

from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateStage

from rollout.commands import CommandName, refusal
from rollout.drift import DRIFT
from rollout.flags import Exposure, FlagSnapshot
from rollout.messages import SIGNAL_EMERGENCY, Answer, Command, Promote, ReplaceCandidate
from rollout.plan import RolloutPlan
from rollout.progress import RolloutProgress, RolloutStatus
from tests.workflows.kept_promises import Promises, asked, no_task_failed
from tests.workflows.many_rollouts import Land
from tests.workflows.matrix_cells import WHY, Standing, message
from tests.workflows.model_script import Step, StoryScript
from tests.workflows.rollout_model import CANARY, STAGED, Place, Possible
from tests.workflows.small_plans import A_MOMENT, AN_HOUR, Shape, plan_of
from tests.workflows.world import Handle, World

PATIENCE = 45.0
BETWEEN_LOOKS = 0.3
AN_ANSWER = 1.5
"""Seconds of real time. A command that waits for an outside system has no answer by then, and is asked later."""

FULL_LADDER = (-1, 1_000, 5_000)
"""The orders of the exposures of the plan's stages, in basis points."""
MEANWHILE = (
    "is being done",
    "one at a time",
    "nobody sees the features yet",
    "is at off already",
    "no flag yet",
    "cannot promote: ",
    "cannot resolve hold: ",
    "these images are being rolled out already",
)
"""What may refuse a command beside the table, where it is not known which of the places the rollout is at."""

_C = CommandName
LIKELY = {_C.PROMOTE: 8, _C.STEP_BACK: 6, _C.APPROVE: 8, _C.RESUME: 6, _C.RESOLVE_HOLD: 6, _C.REPLACE_CANDIDATE: 3}
"""How often a command is drawn, where it is taken, against 1 for the others: most often what moves the rollout."""


class Story:
    def __init__(self, land: Land, name: str, script: StoryScript) -> None:
        self.name = name
        self._script = script
        shape = Shape(
            canary_soak=A_MOMENT if CANARY in script.quick else AN_HOUR,
            staged_soak=A_MOMENT if STAGED in script.quick else AN_HOUR,
            watched=True,
        )
        self._land = land
        self._plan: RolloutPlan = plan_of(name, shape)
        self._world: World = land.world(self._plan)
        self._possible = Possible(frozenset({Place(quick=script.quick)}))
        self._open: list[tuple[CommandName, asyncio.Task[Answer]]] = []
        self._images = 0
        self._late = 0
        self._promises = Promises(self._world)
        self._handle: Handle
        self.told: list[str] = [f"quick stages {sorted(script.quick)}"]
        self.taken_back = False

    async def begin(self) -> None:
        self._handle = await self._world.start()
        await self.settle()
        self._promises.fence = (await self._progress()).fence

    async def step(self, number: int, *, calm: bool) -> None:
        """The round's step of the script; after the last one it is taken back, and then come those who are late."""
        if self.taken_back:
            await self._afterwards()
        elif number >= len(self._script.steps):
            await self.take_back()
        elif self._script.steps[number].does == "the metric changes":
            self._toggle_busy()
        else:
            await self._command(self._script.steps[number], calm=calm)
        await self.look()

    async def take_back(self) -> None:
        """The story's own ending; where it is a hand's at the store, the rollout must find out by itself."""
        self.told.append(self._script.ending)
        # What is under way may still land before the latch; from a rollout that rests, nothing rises any more.
        self._promises.must_not_rise = not self._open and all(
            place.moves_by_itself() is None for place in self._possible.places
        )
        self.taken_back = True
        match self._script.ending:
            case "emergency":
                await self._handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
            case "a misspelt signal":
                await self._handle.signal("Emergency-Rollback", [None, "?", 7])
            case "cancellation":
                await self._handle.cancel()
            case "the kill switch in the store":
                await self._world.store.emergency(by="robin", reason="stop")
        await self.look()

    async def settle(self) -> None:
        """With nothing wrong outside: it comes to rest at a place that the model knows."""
        await self._hear_answers(patience=PATIENCE)
        until = time.monotonic() + PATIENCE
        while True:
            progress, snapshot = await self._look()
            if self.taken_back or self._rests(progress, snapshot):
                return
            if time.monotonic() > until:
                stands = f"stands at {progress.status}, {_shown(snapshot)}: {progress.why}"
                raise AssertionError(f"{stands}; the model: {self._possible.places}")
            await asyncio.sleep(BETWEEN_LOOKS)

    async def look(self) -> None:
        """What must hold after every step, whatever is wrong outside."""
        await self._hear_answers(patience=0)
        await self._look()

    async def end(self) -> None:
        """Nothing is wrong any more: everything is safe, by reading it back, and every command has its answer."""
        until = time.monotonic() + PATIENCE
        if (await self._progress()).rollback is None:
            await self._handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "stop"})
        while (progress := (await self._look())[0]).status is not RolloutStatus.ROLLED_BACK:
            if time.monotonic() > until:
                raise AssertionError(f"not safe: stands at {progress.status}: {progress.why}")
            await asyncio.sleep(BETWEEN_LOOKS)
        await self._afterwards()
        # What ends the guard may come in the task in which something else had come.
        await asked(self._handle, CommandName.FINISH, Command(by="kim", reason=WHY))
        result = await self._handle.result()
        assert result.status is RolloutStatus.ROLLED_BACK, result.why
        await self._hear_answers(patience=PATIENCE)
        await self._look()
        assert (await self._world.flags()).is_latched_off
        assert self._promises.share_of_candidates() == 0
        verdict = await self._world.store.verify_audit()
        assert verdict.holds, verdict
        await no_task_failed(self._handle)

    # What comes.

    def _toggle_busy(self) -> None:
        self._possible.wanders()
        self._possible.each(lambda place: replace(place, busy=not place.busy))
        busy = self._land.source.busy_plans
        busy ^= {self._plan.name}
        self.told.append("busy" if self._plan.name in busy else "not busy any more")

    async def _command(self, step: Step, *, calm: bool) -> None:
        place = min(self._possible.places, key=repr)
        forced = step.forced
        taken = [c for c in CommandName if c is not CommandName.FINISH and place.why_not(c, forced=forced) is None]
        refused = [c for c in CommandName if place.why_not(c, forced=forced) is not None]
        wanted = refused if step.does == "a command that is refused" else taken
        weighted = [command for command in wanted for _ in range(LIKELY.get(command, 1))]
        chosen = weighted[step.pick % len(weighted)]
        self.told.append(f"{chosen}{' by force' if forced and chosen is CommandName.PROMOTE else ''}")
        await self._give(chosen, forced=forced, calm=calm)

    async def _give(self, command: CommandName, *, forced: bool, calm: bool) -> None:
        before = (await self._progress()).status
        given = await self._handle.start_update(
            command.value,
            self._message(command, forced=forced),
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            result_type=Answer,
        )
        why: str | None = None
        answer = asyncio.create_task(given.result())
        await asyncio.wait({answer}, timeout=PATIENCE if calm else AN_ANSWER)
        if not answer.done():
            assert not calm, f"{command} has no answer"
            self._open.append((command, answer))
            self.told.append("no answer yet")
            return
        try:
            answer.result()
        except WorkflowUpdateFailedError as failed:
            why = str(failed.cause)
            self.told.append(f"refused: {why}")
        after = (await self._progress()).status
        table = {refusal(command, before), refusal(command, after)}
        beside_the_table = why is not None and None in table and any(words in why for words in MEANWHILE)
        assert why in table or beside_the_table, f"{command} from {before} to {after}: {why}"
        if not self.taken_back:
            self._learn(command, why, forced=forced, calm=calm)

    def _learn(self, command: CommandName, why: str | None, *, forced: bool, calm: bool) -> None:
        if not calm:
            self._possible.wanders()
            self._possible.may_be_blind()
        if why is None:
            assert self._possible.taken(command, forced=forced), f"{command} was taken, from none of these places"
        else:
            assert self._possible.refused(command, why, forced=forced) or not calm, f"{command} was refused: {why}"

    def _message(self, command: CommandName, *, forced: bool) -> Command:
        if command is CommandName.PROMOTE:
            return Promote(by="kim", reason=WHY, force=forced)
        if command is CommandName.REPLACE_CANDIDATE:
            self._images += 1
            images = {"backend": f"registry.example/backend:hotfix-{self._images}"}
            return ReplaceCandidate(by="kim", reason=WHY, images=images)
        return message(command, self._plan)

    async def _afterwards(self) -> None:
        """Everybody who was late: commands, a write of the rollout itself, and a person who insists."""
        commands = [command for command in CommandName if command is not CommandName.FINISH]
        self._late += 1
        await self._give(commands[self._late % len(commands)], forced=True, calm=False)
        if self._promises.latched:
            shown = Exposure(exposure="percent", bp=1_000, stage="canary")
            to = dict.fromkeys(self._plan.flags, shown)
            snapshot = await self._world.flags()
            for fence in (snapshot.epoch - 1, snapshot.epoch, snapshot.epoch + 1):
                reply = await self._world.store.set_exposures(to, fence=fence, by="late", reason="late")
                assert not reply.accepted, reply
            assert not (await self._world.store.override(to, by="robin", reason="I insist")).accepted

    async def _hear_answers(self, *, patience: float) -> None:
        """Answers that outside systems kept back. With patience all of them must come."""
        if self._open:
            await asyncio.wait({answer for _, answer in self._open}, timeout=patience)
        assert not patience or all(answer.done() for _, answer in self._open), "a command has no answer"
        given = [(command, answer) for command, answer in self._open if answer.done()]
        self._open = [(command, answer) for command, answer in self._open if not answer.done()]
        for command, answer in given:
            try:
                answer.result()
            except WorkflowUpdateFailedError as failed:
                self.told.append(f"{command} failed: {failed.cause}")
            else:
                self.told.append(f"{command} was answered")
                if not self.taken_back:
                    self._learn(command, None, forced=False, calm=False)

    # What must hold.

    async def _look(self) -> tuple[RolloutProgress, FlagSnapshot | None]:
        progress, snapshot = await self._progress(), await self._world.store.read()
        self._possible.wanders()
        await self._promises.must_be_kept(progress, snapshot, highest=FULL_LADDER[self._possible.highest])
        return progress, snapshot

    def _rests(self, progress: RolloutProgress, snapshot: FlagSnapshot | None) -> bool:
        standing = Standing(progress.status, _shown(snapshot))
        soaking = None if progress.entered_last is None else progress.stages[progress.entered_last].soak_state
        if soaking is not None and soaking.causes == (DRIFT,):
            # Nobody else changes anything here: it holds because the flags or the traffic could not be read.
            return False
        if progress.turning_back or (snapshot is not None and dict(snapshot.flags) != progress.flags):
            return False
        held = soaking is not None and soaking.standing == "holding"
        return self._possible.rests(standing, at=progress.entered_last, held=held)

    async def _progress(self) -> RolloutProgress:
        return await self._world.progress(self._handle)


def _shown(snapshot: FlagSnapshot | None) -> str:
    return "" if snapshot is None else ", ".join(sorted({shown.in_words() for shown in snapshot.flags.values()}))
