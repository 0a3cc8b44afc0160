"""Stories whose histories are recorded on the real server, for what no skipped time has.

Each says how it comes to what it was recorded for, of whom, and which patch of the workflow went its way then.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from temporalio.client import Client, WorkflowFailureError
from temporalio.worker import Worker

from rollout.commands import CommandName
from rollout.messages import Command
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from rollout.windows import Windows
from sandbox.faults import Fault
from tests.workflows.answers_kept_back import (
    CHECKED,
    answered_again,
    checked_without_an_answer,
    written_and_seen,
    written_and_seen_before_it_is_acknowledged,
)
from tests.workflows.changed_plans import approved_first, looked_after, rising_in_two_steps
from tests.workflows.commanding import adopt, ask, emergency, extend, started_with, step_back
from tests.workflows.emergencies_met import (
    emergency_as_a_step_back_is_answered,
    emergency_as_the_dead_man_pages,
    emergency_as_the_start_is_refused,
    emergency_while_the_last_notice_is_not_delivered,
    rollback_overtaken_while_its_worker_was_dead,
)
from tests.workflows.foreign_changes import CHECKED_BEFORE_STAGED, deploy_by_hand, split_by_hand_just_before_a_step
from tests.workflows.long_histories import continued, grown_long, told_something
from tests.workflows.many_rollouts import SHORTLY, SOON, Land
from tests.workflows.measured_faults import one_cascade
from tests.workflows.partial_workers import carrying_on, the_way_back, without_the_way_back, without_the_workflow
from tests.workflows.small_plans import IN_CANARY, TO_AN_APPROVAL, TO_THE_END, Shape
from tests.workflows.standing import resumed_to_its_approval_while_held, until_held
from tests.workflows.world import Handle, World
from worker.wiring import OutsideWorld, workers


def as_it_is(plan: RolloutPlan) -> RolloutPlan:
    return plan


@dataclass(frozen=True)
class RealStory:
    """`tell` leaves a run that has ended. Its history has this `patch`, if any, or it is not what was meant."""

    tell: Callable[[Land, World], Awaitable[Handle]]
    patch: str | None = None
    shape: Shape = IN_CANARY
    change: Callable[[RolloutPlan], RolloutPlan] = as_it_is
    worked_by: Callable[[Client, OutsideWorld], Sequence[Worker]] = workers
    server_options: tuple[str, ...] = ()


async def taken_back_and_finished(world: World, handle: Handle) -> Handle:
    """Once it is guarded, a person ends that."""
    await world.until_under_way(handle, "guard_rollback", 1)
    await ask(handle, CommandName.FINISH, Command(by="kim", reason="seen enough"))
    await handle.result()
    return handle


async def flag_set_without_an_answer(land: Land, world: World, *, held: bool = False) -> Handle:
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
    if held:
        land.source.busy_plans.add(world.plan.name)
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
    await written_and_seen_before_it_is_acknowledged(land, handle, "off", world.plan.flags[0])
    await emergency(handle)
    return await taken_back_and_finished(world, handle)


async def failed_while_a_flag_was_set(land: Land, world: World) -> Handle:
    """A gate fails before the store has answered, and the same look sees both."""
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
    await written_and_seen(land, handle, "off", world.plan.flags[0])
    land.source.fault = one_cascade
    await world.until(handle, RolloutStatus.ROLLED_BACK, step=SOON)
    land.wire.acknowledge_writes(True)
    return await taken_back_and_finished(world, handle)


async def stepped_back_while_it_was_checked(land: Land, world: World) -> Handle:
    handle = await checked_without_an_answer(land, world)
    await step_back(handle)
    answered_again(land)
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
    await emergency(handle)
    return await taken_back_and_finished(world, handle)


async def extended_while_it_was_checked(land: Land, world: World) -> Handle:
    handle = await checked_without_an_answer(land, world)
    await extend(handle)
    answered_again(land)
    await world.until_under_way(handle, "watch_gates", 1)
    await emergency(handle)
    return await taken_back_and_finished(world, handle)


async def approved_while_held(land: Land, world: World) -> Handle:
    handle = await world.start()
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
    land.source.busy_plans.add(world.plan.name)
    await until_held(world, handle)
    await ask(handle, CommandName.APPROVE, Command(by="kim", reason="checked"))
    await world.until(handle, RolloutStatus.HOLDING, step=SOON)
    land.source.busy_plans.clear()
    await handle.result()
    return handle


async def resumed_to_its_approval(land: Land, world: World) -> Handle:
    handle = await world.start()
    await resumed_to_its_approval_while_held(land, world, handle)
    await ask(handle, CommandName.APPROVE, Command(by="kim", reason="checked"))
    land.source.busy_plans.clear()
    await handle.result()
    return handle


async def carried_on_after(meeting: Callable[[Land, World], Awaitable[Handle]], land: Land, world: World) -> Handle:
    """The workflow is carried on only once the emergency has met what it is to meet."""
    handle = await meeting(land, world)
    async with carrying_on(world.client):
        return await taken_back_and_finished(world, handle)


async def overtaken_by_a_person(land: Land, world: World) -> Handle:
    handle = await rollback_overtaken_while_its_worker_was_dead(land, world)
    async with the_way_back(land):
        return await taken_back_and_finished(world, handle)


async def emergency_that_waits_for_no_notice(land: Land, world: World) -> Handle:
    handle = await emergency_while_the_last_notice_is_not_delivered(land, world)
    await world.until_under_way(handle, "guard_rollback", 1)
    land.channel.answering.set()
    return await taken_back_and_finished(world, handle)


async def told_as_it_ended(land: Land, world: World) -> Handle:
    """The last notice is delivered, and something more to tell arrives, in one task of the workflow."""
    async with carrying_on(world.client):
        handle = await world.start()
        await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=SOON)
        land.channel.answering.clear()
        await world.until(handle, RolloutStatus.COMPLETED, step=SOON)
        await world.until_under_way(handle, "notify", 1)
    await handle.signal("hello")
    land.channel.answering.set()
    while await world.under_way(handle):
        await world.sleep(SOON)
    async with carrying_on(world.client):
        await handle.result()
    return handle


async def started_with_blanks(_land: Land, world: World) -> Handle:
    """It fails at once, in words."""
    request = {"plan": world.plan.model_dump(mode="json", exclude_none=True), "images": {"backend": " "}, "by": "kim"}
    handle = await started_with(world, [request])
    with suppress(WorkflowFailureError):
        await handle.result()
    return handle


async def split_of_others_that_is_adopted(land: Land, world: World) -> Handle:
    handle = await split_by_hand_just_before_a_step(land, world)
    await world.until(handle, RolloutStatus.HOLDING, stage="staged", step=SOON)
    await adopt(handle)
    await handle.result()
    return handle


async def deployment_of_others_that_is_adopted(_land: Land, world: World, *, another: bool = False) -> Handle:
    """Or `another` one that comes once it was shown, and has to be adopted for itself."""
    handle = await world.start()
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
    await deploy_by_hand(world, "registry.example/backend:robins-hotfix")
    await ask(handle, CommandName.APPROVE, Command(by="kim", reason="checked"))
    await world.until(handle, RolloutStatus.HOLDING, step=SOON)
    if another:
        await deploy_by_hand(world, "registry.example/backend:another-hotfix")
        await adopt(handle)
        await world.until(handle, RolloutStatus.HOLDING, step=SOON)
    await adopt(handle)
    await handle.result()
    return handle


async def continued_while_it_waited(_land: Land, world: World) -> Handle:
    """The run that ends by it; another one has taken it up."""
    handle = await world.start()
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=SOON)
    await continued(world, handle)
    return world.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)


async def continued_while_it_deployed(land: Land, world: World) -> Handle:
    """As above, where Cloud Run refuses every change until then."""
    land.sandbox.faults.put(Fault(method="UpdateService", code="UNAVAILABLE"))
    handle = await world.start()
    await world.until_under_way(handle, "deploy_candidate", 1)
    await grown_long(world, handle, told_something)
    while (await world.progress(handle)).run_id == handle.first_execution_run_id:
        await world.sleep(SOON)
    land.sandbox.faults.clear()
    await handle.result()
    return world.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)


async def failed_beside_a_check_that_took_long(land: Land, world: World) -> Handle:
    handle = await checked_without_an_answer(land, world)
    # Gates are judged only once the check has taken its minute, which is longer than anything else is waited for.
    while "watch_gates" not in await world.under_way(handle):
        await world.sleep(SOON)
    land.source.fault = one_cascade
    return await taken_back_and_finished(world, handle)


def beside_an_emergency(
    meeting: Callable[[Land, World], Awaitable[Handle]],
    patch: str,
    change: Callable[[RolloutPlan], RolloutPlan] = as_it_is,
) -> RealStory:
    return RealStory(partial(carried_on_after, meeting), patch, change=change, worked_by=without_the_workflow)


def beside_a_deployment(patch: str, *, another: bool = False) -> RealStory:
    return RealStory(partial(deployment_of_others_that_is_adopted, another=another), patch, TO_THE_END, approved_first)


REAL_STORIES: dict[str, RealStory] = {
    "flag-set-without-an-answer": RealStory(flag_set_without_an_answer, "own-flags-are-no-drift"),
    "flag-set-without-an-answer-while-held": RealStory(
        partial(flag_set_without_an_answer, held=True), "own-flags-beside-a-hold"
    ),
    "failed-while-a-flag-was-set": RealStory(failed_while_a_flag_was_set, "own-flags-beside-a-failure"),
    "stepped-back-while-it-was-checked": RealStory(stepped_back_while_it_was_checked, "checks-give-way", CHECKED),
    "extended-while-it-was-checked": RealStory(extended_while_it_was_checked, "extended-while-it-was-checked", CHECKED),
    "approved-while-held": RealStory(approved_while_held, shape=TO_AN_APPROVAL),
    "resumed-to-its-approval": RealStory(resumed_to_its_approval, "resumed-to-its-approval", TO_AN_APPROVAL),
    "answered-beside-an-emergency": beside_an_emergency(
        emergency_as_a_step_back_is_answered, "nothing-goes-on-beside-a-rollback"
    ),
    "refused-beside-an-emergency": beside_an_emergency(emergency_as_the_start_is_refused, "failed-beside-a-rollback"),
    "paged-beside-an-emergency": beside_an_emergency(
        emergency_as_the_dead_man_pages, "ended-as-it-paged", looked_after
    ),
    "rollback-overtaken-by-a-person": RealStory(
        overtaken_by_a_person, "overtaken-is-not-refused", worked_by=without_the_way_back
    ),
    "told-as-it-ended": RealStory(
        told_as_it_ended,
        "nothing-told-is-left-behind",
        TO_THE_END,
        worked_by=without_the_workflow,
    ),
    "split-of-others-adopted-before-a-step": RealStory(
        split_of_others_that_is_adopted,
        "others-traffic-is-not-overwritten",
        CHECKED_BEFORE_STAGED,
        rising_in_two_steps,
    ),
    "deployment-of-others-adopted": beside_a_deployment("others-deployments-are-not-undone"),
    "adopted-deployment-read-anew": beside_a_deployment("reading-anew-is-waited-for"),
    "refused-deployment-read-at-once": beside_a_deployment("anchors-read-as-soon-as-refused"),
    "refused-deployment-recorded-as-read": beside_a_deployment("recorded-as-read-at-once"),
    "adopted-as-it-was-shown": beside_a_deployment("adopted-as-it-was-shown", another=True),
    "window-asked-again-after-a-hold": RealStory(
        split_of_others_that_is_adopted,
        "window-asked-before-each-step",
        CHECKED_BEFORE_STAGED,
        lambda plan: rising_in_two_steps(plan.model_copy(update={"windows": Windows(time_zone="UTC")})),
    ),
    "started-with-blanks": RealStory(started_with_blanks, "blanks-begin-nothing", Shape()),
    "an-emergency-waits-for-no-notice": RealStory(
        emergency_that_waits_for_no_notice, "an-emergency-waits-for-no-notice", TO_THE_END
    ),
    "judged-beside-a-check-that-took-long": RealStory(
        failed_beside_a_check_that_took_long, "judged-beside-what-takes-long", CHECKED
    ),
    "continued-while-it-waited": RealStory(
        continued_while_it_waited, "waits-are-continued-as-new", TO_AN_APPROVAL, server_options=SHORTLY
    ),
    "continued-while-it-deployed": RealStory(
        continued_while_it_deployed, "calls-are-continued-as-new", TO_THE_END, server_options=SHORTLY
    ),
    "continued-once-its-call-had-ended": RealStory(
        continued_while_it_deployed, "calls-end-before-their-run", TO_THE_END, server_options=SHORTLY
    ),
}
