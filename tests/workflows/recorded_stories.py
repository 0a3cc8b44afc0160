"""Stories of rollouts of the rehearsal whose histories are recorded, on the server that skips time."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from rollout.commands import CommandName
from rollout.messages import Command, FlagStage, Promote, ReplaceCandidate, ResolveHold
from rollout.plan import RolloutPlan
from rollout.plan_parts import Deadman
from rollout.progress import RolloutStatus
from tests.workflows.changed_plans import acting, approved_first, frozen_today, leading_one_stage_down
from tests.workflows.commanding import ask, emergency
from tests.workflows.foreign_changes import raise_a_flag
from tests.workflows.measured_faults import errors_of_treated_users, no_events_for_treated
from tests.workflows.traffic_source import no_fault
from tests.workflows.world import Handle, World

A_LOOK = timedelta(seconds=2)

Story = Callable[[World, Handle], Awaitable[None]]
PlanAt = Callable[[RolloutPlan, datetime], RolloutPlan]
"""From the rehearsal and the time at which it starts to the plan of a story."""


async def soaking(world: World, handle: Handle, stage: str) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage=stage, step=A_LOOK)


async def completed_in_five_stages(_world: World, _handle: Handle) -> None:
    """Nothing happens but time."""


async def rolled_back_by_a_gate_at_canary(world: World, handle: Handle) -> None:
    await soaking(world, handle, "canary")
    world.source.fault = errors_of_treated_users


async def emergency_while_internal_soaks(world: World, handle: Handle) -> None:
    await soaking(world, handle, "internal")
    await emergency(handle)


async def the_same_unknown_signal_twice(world: World, handle: Handle) -> None:
    await soaking(world, handle, "internal")
    for _ in range(2):
        await handle.signal("hello")
    await world.sleep(A_LOOK)
    await emergency(handle)


async def paused_and_resumed_at_canary(world: World, handle: Handle) -> None:
    await soaking(world, handle, "canary")
    await ask(handle, CommandName.PAUSE, Command(by="kim", reason="lunch"))
    await world.sleep(timedelta(minutes=30))
    await ask(handle, CommandName.RESUME, Command(by="kim"))


async def stepped_back_from_staged(world: World, handle: Handle) -> None:
    await soaking(world, handle, "staged")
    await ask(handle, CommandName.STEP_BACK, Command(by="kim", reason="slow"))
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=A_LOOK)
    await ask(handle, CommandName.APPROVE, Command(by="kim", reason="understood"))


async def stepped_back_twice(world: World, handle: Handle) -> None:
    await soaking(world, handle, "staged")
    for stage in ("canary", "internal"):
        await ask(handle, CommandName.STEP_BACK, Command(by="kim", reason="slow"))
        await soaking(world, handle, stage)
    for stage in ("canary", "staged"):
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, stage=stage, step=A_LOOK)
        await ask(handle, CommandName.APPROVE, Command(by="kim", reason="understood"))


async def promoted_with_a_flag_held_back(world: World, handle: Handle) -> None:
    await soaking(world, handle, "internal")
    held = FlagStage(by="kim", reason="one of them is slow", flag=world.plan.flags[0], stage="off")
    await ask(handle, CommandName.SET_STAGE, held)
    await ask(handle, CommandName.PROMOTE, Promote(by="kim", reason="seen enough"))


async def stepped_back_by_a_gate(world: World, handle: Handle) -> None:
    await soaking(world, handle, "canary")
    world.source.fault = errors_of_treated_users
    await soaking(world, handle, "internal")
    world.source.fault = no_fault
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=A_LOOK)
    await ask(handle, CommandName.APPROVE, Command(by="kim", reason="understood"))


async def forced_through_a_freeze(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.AWAITING_WINDOW, step=A_LOOK)
    forced = Promote(by="kim", reason="the fix for the sale", force=True)
    await ask(handle, CommandName.PROMOTE, forced)
    await world.until(handle, RolloutStatus.AWAITING_WINDOW, stage="internal", step=A_LOOK)
    await emergency(handle)


async def candidate_replaced_at_canary(world: World, handle: Handle) -> None:
    await soaking(world, handle, "canary")
    hotfix = ReplaceCandidate(by="kim", reason="a fix", images={"backend": "registry.example/backend:hotfix"})
    await ask(handle, CommandName.REPLACE_CANDIDATE, hotfix)


async def kill_switch_pulled_before_the_first_approval(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=A_LOOK)
    await world.store.emergency(by="kim", reason="not today")


async def kill_switch_pulled_twice_while_internal_soaks(world: World, handle: Handle) -> None:
    await soaking(world, handle, "internal")
    for _ in range(2):
        await world.store.emergency(by="kim", reason="checkout is down")


async def approved_after_a_wait_and_a_pause(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=A_LOOK)
    await ask(handle, CommandName.PAUSE, Command(by="kim", reason="lunch"))
    await world.sleep(timedelta(minutes=30))
    await ask(handle, CommandName.RESUME, Command(by="kim"))
    await world.approve(handle)


async def gone_on_without_a_flag(world: World, handle: Handle) -> None:
    """A gate turned it off alone, and a person went on without it."""
    await soaking(world, handle, "canary")
    world.source.fault = no_events_for_treated
    while (await world.progress(handle)).flags["websocket_isolation"].exposure != "off":
        await world.sleep(A_LOOK)
    world.source.fault = no_fault
    await world.sleep(timedelta(seconds=10))
    await ask(handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", how="continue"))


async def one_flag_set_beside_a_foreign_change_of_another(world: World, handle: Handle) -> None:
    await soaking(world, handle, "canary")
    await raise_a_flag(world)
    await world.until(handle, RolloutStatus.HOLDING, step=A_LOOK)
    command = FlagStage(by="kim", reason="slow", flag="factory_pattern", stage="internal")
    await ask(handle, CommandName.SET_STAGE, command)
    await world.sleep(timedelta(seconds=10))
    await emergency(handle)


async def finished_while_watched(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.WATCHING, step=A_LOOK)
    await ask(handle, CommandName.FINISH, Command(by="kim", reason="the next one waits"))


STORIES: dict[str, Story] = {
    "completed-in-five-stages": completed_in_five_stages,
    "rolled-back-by-a-gate-at-canary": rolled_back_by_a_gate_at_canary,
    "emergency-while-internal-soaks": emergency_while_internal_soaks,
    "paused-and-resumed-at-canary": paused_and_resumed_at_canary,
    "stepped-back-from-staged": stepped_back_from_staged,
    "promoted-with-a-flag-held-back": promoted_with_a_flag_held_back,
    "stepped-back-by-a-gate": stepped_back_by_a_gate,
    "stepped-back-by-a-gate-beside-a-hold": stepped_back_by_a_gate,
    "forced-through-a-freeze": forced_through_a_freeze,
    "forced-through-a-freeze-it-waits-no-longer": forced_through_a_freeze,
    "candidate-replaced-at-canary": candidate_replaced_at_canary,
    "completed-with-a-deadman": completed_in_five_stages,
    "finished-while-watched": finished_while_watched,
    "kill-switch-pulled-before-the-first-approval": kill_switch_pulled_before_the_first_approval,
    "approved-after-a-wait-and-a-pause": approved_after_a_wait_and_a_pause,
    "kill-switch-pulled-twice-while-internal-soaks": kill_switch_pulled_twice_while_internal_soaks,
    "completed-after-a-trial-of-its-gates": completed_in_five_stages,
    "stepped-back-twice": stepped_back_twice,
    "resumed-to-what-it-stood-at": approved_after_a_wait_and_a_pause,
    "emergency-with-nothing-beside-it": emergency_while_internal_soaks,
    "candidate-replaced-and-the-store-told": candidate_replaced_at_canary,
    "the-same-unknown-signal-twice": the_same_unknown_signal_twice,
    "gone-on-without-a-flag": gone_on_without_a_flag,
    "flag-set-beside-a-foreign-change": one_flag_set_beside_a_foreign_change_of_another,
    "flag-set-and-a-foreign-change-stays-one": one_flag_set_beside_a_foreign_change_of_another,
    "woken-once-for-two-services": completed_in_five_stages,
}


def frozen(plan: RolloutPlan, now: datetime) -> RolloutPlan:
    return plan.model_copy(update={"windows": frozen_today(now)})


PLANS_OF_THEIR_OWN: dict[str, PlanAt] = {
    "stepped-back-by-a-gate": lambda plan, _: leading_one_stage_down(plan, "backend_errors", "auth_errors"),
    "stepped-back-by-a-gate-beside-a-hold": lambda plan, _: acting(
        "hold", leading_one_stage_down(plan, "backend_errors"), "auth_errors"
    ),
    "completed-with-a-deadman": lambda plan, _: plan.model_copy(
        update={"deadman": Deadman(page_after=timedelta(seconds=10), flags_off_after=timedelta(seconds=30))}
    ),
    "kill-switch-pulled-before-the-first-approval": lambda plan, _: approved_first(plan),
    "approved-after-a-wait-and-a-pause": lambda plan, _: approved_first(plan),
    "resumed-to-what-it-stood-at": lambda plan, _: approved_first(plan),
    "finished-while-watched": lambda plan, _: plan.model_copy(update={"watch": timedelta(days=1)}),
    "forced-through-a-freeze": frozen,
    "forced-through-a-freeze-it-waits-no-longer": frozen,
}
