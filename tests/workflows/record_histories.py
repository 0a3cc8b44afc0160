"""Record the histories that `test_replay` holds the workflow to: `python -m tests.workflows.record_histories`.

Run it once for a story that is new. A file that exists is history in both senses: a change of the workflow that breaks
it needs `workflow.patched`, and a newly recorded file beside the old one, under a name of its own.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
from base64 import b64decode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from temporalio.client import WorkflowFailureError, WorkflowHistory

from rollout.flags import Exposure
from rollout.messages import (
    SIGNAL_EMERGENCY,
    UPDATE_APPROVE,
    UPDATE_FINISH,
    UPDATE_PAUSE,
    UPDATE_PROMOTE,
    UPDATE_REPLACE_CANDIDATE,
    UPDATE_RESOLVE_HOLD,
    UPDATE_RESUME,
    UPDATE_SET_STAGE,
    UPDATE_STEP_BACK,
    Answer,
    Command,
    FlagStage,
    Promote,
    ReplaceCandidate,
    ResolveHold,
)
from rollout.plan import RolloutPlan
from rollout.plan_parts import Deadman
from rollout.progress import RolloutStatus
from tests.workflows.many_rollouts import A_MOMENT, AN_HOUR, Land, Shape, land_for, plan_of
from tests.workflows.test_answers_beside_an_emergency import (
    carrying_on,
    emergency_as_a_step_back_is_answered,
    emergency_as_the_dead_man_pages,
    emergency_as_the_start_is_refused,
    looked_after,
    without_the_workflow,
)
from tests.workflows.test_checks_give_way import answered_again, checked_without_an_answer, extend, step_back
from tests.workflows.test_continue_as_new import SHORTLY, emergency_while_the_last_notice_is_not_delivered
from tests.workflows.test_flag_limits import written_and_seen, written_and_seen_before_it_is_acknowledged
from tests.workflows.test_going_back import errors_of_treated_users, one_cascade
from tests.workflows.test_overtaken_rollback import (
    rollback_overtaken_while_its_worker_was_dead,
    the_way_back,
    without_the_way_back,
)
from tests.workflows.test_promotion_windows import frozen_today
from tests.workflows.test_started_with_anything import started_with
from tests.workflows.test_step_back_by_a_gate import acting, leading_one_stage_down
from tests.workflows.test_switching_off import no_events_for_treated
from tests.workflows.test_where_it_stands import resumed_to_its_approval_while_held, until_held
from tests.workflows.traffic_source import no_fault
from tests.workflows.world import Handle, World, laid_out

HISTORIES = Path(__file__).parent / "histories"
SET_WITHOUT_AN_ANSWER = "flag-set-without-an-answer"
SET_WHILE_HELD = "flag-set-without-an-answer-while-held"
FAILED_WHILE_SET = "failed-while-a-flag-was-set"
STEPPED_BACK_WHILE_CHECKED = "stepped-back-while-it-was-checked"
EXTENDED_WHILE_CHECKED = "extended-while-it-was-checked"
APPROVED_WHILE_HELD = "approved-while-held"
RESUMED_WHILE_HELD = "resumed-to-its-approval"
ANSWERED_BESIDE_AN_EMERGENCY = "answered-beside-an-emergency"
REFUSED_BESIDE_AN_EMERGENCY = "refused-beside-an-emergency"
PAGED_BESIDE_AN_EMERGENCY = "paged-beside-an-emergency"
OVERTAKEN = "rollback-overtaken-by-a-person"
TOLD_AS_IT_ENDED = "told-as-it-ended"
STARTED_WITH_BLANKS = "started-with-blanks"
EMERGENCY_BESIDE_A_NOTICE = "an-emergency-waits-for-no-notice"
PATCH_OF = {
    SET_WITHOUT_AN_ANSWER: "own-flags-are-no-drift",
    SET_WHILE_HELD: "own-flags-beside-a-hold",
    STEPPED_BACK_WHILE_CHECKED: "checks-give-way",
    EXTENDED_WHILE_CHECKED: "extended-while-it-was-checked",
}

Story = Callable[[World, Handle], Awaitable[None]]
PlanAt = Callable[[RolloutPlan, datetime], RolloutPlan]
"""From the rehearsal and the time at which it starts to the plan of a story."""


async def completed_in_five_stages(_world: World, _handle: Handle) -> None:
    """Nothing happens but time."""


async def rolled_back_by_a_gate_at_canary(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(seconds=2))
    world.source.fault = errors_of_treated_users


async def emergency_while_internal_soaks(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="internal", step=timedelta(seconds=2))
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})


async def the_same_unknown_signal_twice(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="internal", step=timedelta(seconds=2))
    for _ in range(2):
        await handle.signal("hello")
    await world.environment.sleep(timedelta(seconds=2))
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})


async def paused_and_resumed_at_canary(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(seconds=2))
    await handle.execute_update(UPDATE_PAUSE, Command(by="kim", reason="lunch"), result_type=Answer)
    await world.environment.sleep(timedelta(minutes=30))
    await handle.execute_update(UPDATE_RESUME, Command(by="kim"), result_type=Answer)


async def stepped_back_from_staged(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=timedelta(seconds=2))
    await handle.execute_update(UPDATE_STEP_BACK, Command(by="kim", reason="slow"), result_type=Answer)
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=timedelta(seconds=2))
    await handle.execute_update(UPDATE_APPROVE, Command(by="kim", reason="understood"), result_type=Answer)


async def stepped_back_twice(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=timedelta(seconds=2))
    for stage in ("canary", "internal"):
        await handle.execute_update(UPDATE_STEP_BACK, Command(by="kim", reason="slow"), result_type=Answer)
        await world.until(handle, RolloutStatus.SOAKING, stage=stage, step=timedelta(seconds=2))
    for stage in ("canary", "staged"):
        await world.until(handle, RolloutStatus.AWAITING_APPROVAL, stage=stage, step=timedelta(seconds=2))
        await handle.execute_update(UPDATE_APPROVE, Command(by="kim", reason="understood"), result_type=Answer)


async def promoted_with_a_flag_held_back(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="internal", step=timedelta(seconds=2))
    held = FlagStage(by="kim", reason="one of them is slow", flag=world.plan.flags[0], stage="off")
    await handle.execute_update(UPDATE_SET_STAGE, held, result_type=Answer)
    await handle.execute_update(UPDATE_PROMOTE, Promote(by="kim", reason="seen enough"), result_type=Answer)


async def stepped_back_by_a_gate(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(seconds=2))
    world.source.fault = errors_of_treated_users
    await world.until(handle, RolloutStatus.SOAKING, stage="internal", step=timedelta(seconds=2))
    world.source.fault = no_fault
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=timedelta(seconds=2))
    await handle.execute_update(UPDATE_APPROVE, Command(by="kim", reason="understood"), result_type=Answer)


async def forced_through_a_freeze(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.AWAITING_WINDOW, step=timedelta(seconds=2))
    forced = Promote(by="kim", reason="the fix for the sale", force=True)
    await handle.execute_update(UPDATE_PROMOTE, forced, result_type=Answer)
    await world.until(handle, RolloutStatus.AWAITING_WINDOW, stage="internal", step=timedelta(seconds=2))
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})


async def candidate_replaced_at_canary(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(seconds=2))
    hotfix = ReplaceCandidate(by="kim", reason="a fix", images={"backend": "registry.example/backend:hotfix"})
    await handle.execute_update(UPDATE_REPLACE_CANDIDATE, hotfix, result_type=Answer)


async def kill_switch_pulled_before_the_first_approval(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=timedelta(seconds=2))
    await world.store.emergency(by="kim", reason="not today")


async def kill_switch_pulled_twice_while_internal_soaks(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="internal", step=timedelta(seconds=2))
    for _ in range(2):
        await world.store.emergency(by="kim", reason="checkout is down")


async def approved_after_a_wait_and_a_pause(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=timedelta(seconds=2))
    await handle.execute_update(UPDATE_PAUSE, Command(by="kim", reason="lunch"), result_type=Answer)
    await world.environment.sleep(timedelta(minutes=30))
    await handle.execute_update(UPDATE_RESUME, Command(by="kim"), result_type=Answer)
    await world.approve(handle)


async def gone_on_without_a_flag(world: World, handle: Handle) -> None:
    """A gate turned it off alone, and a person went on without it."""
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(seconds=2))
    world.source.fault = no_events_for_treated
    while (await world.progress(handle)).flags["websocket_isolation"].exposure != "off":
        await world.environment.sleep(timedelta(seconds=2))
    world.source.fault = no_fault
    await world.environment.sleep(timedelta(seconds=10))
    await handle.execute_update(UPDATE_RESOLVE_HOLD, ResolveHold(by="kim", how="continue"), result_type=Answer)


async def one_flag_set_beside_a_foreign_change_of_another(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(seconds=2))
    more = {"request_isolation": Exposure(exposure="percent", bp=5_000, stage="staged")}
    await world.store.override(more, by="robin", reason="impatient")
    await world.until(handle, RolloutStatus.HOLDING, step=timedelta(seconds=2))
    command = FlagStage(by="kim", reason="slow", flag="factory_pattern", stage="internal")
    await handle.execute_update(UPDATE_SET_STAGE, command, result_type=Answer)
    await world.environment.sleep(timedelta(seconds=10))
    await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "enough"})


async def finished_while_watched(world: World, handle: Handle) -> None:
    await world.until(handle, RolloutStatus.WATCHING, step=timedelta(seconds=2))
    await handle.execute_update(UPDATE_FINISH, Command(by="kim", reason="the next one waits"), result_type=Answer)


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
}


def approved_first(plan: RolloutPlan) -> RolloutPlan:
    """The first stage needs a person's approval."""
    first, *others = plan.stages
    return plan.model_copy(update={"stages": [first.model_copy(update={"approval": True}), *others]})


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
    "forced-through-a-freeze": lambda plan, now: plan.model_copy(update={"windows": frozen_today(now)}),
}


async def record(name: str, story: Story) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with laid_out("rehearsal.yaml", Path(directory)) as world:
            if name in PLANS_OF_THEIR_OWN:
                world.plan = PLANS_OF_THEIR_OWN[name](world.plan, await world.now())
            handle = await world.start()
            await story(world, handle)
            result = await handle.result()
            history = await handle.fetch_history()
    (HISTORIES / f"{name}.json").write_text(history.to_json() + "\n", encoding="utf-8")
    sys.stdout.write(f"{name}: {result.status}, {len(history.events)} events\n")


async def record_a_flag_set_without_an_answer(name: str, *, held: bool) -> None:
    """On the real server and through a wire that keeps an answer back, which no other story needs."""
    with tempfile.TemporaryDirectory() as directory:
        async with land_for([name], Path(directory)) as land:
            world = land.world(plan_of(name, Shape(canary_soak=AN_HOUR), Path(directory)))
            handle = await world.start()
            await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(milliseconds=200))
            if held:
                land.source.busy_plans.add(name)
                await world.until(handle, RolloutStatus.HOLDING, step=timedelta(milliseconds=200))
            await written_and_seen_before_it_is_acknowledged(land, handle, "off", world.plan.flags[0])
            await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})
            await world.until_under_way(handle, "guard_rollback", 1)
            await handle.execute_update(UPDATE_FINISH, Command(by="kim", reason="seen enough"), result_type=Answer)
            await handle.result()
            history = await handle.fetch_history()
    keep(name, history, patch=PATCH_OF[name])


async def record_a_failure_while_a_flag_was_set() -> None:
    """As above; a gate fails before the store has answered, and the same look sees both."""
    name = FAILED_WHILE_SET
    with tempfile.TemporaryDirectory() as directory:
        async with land_for([name], Path(directory)) as land:
            world = land.world(plan_of(name, Shape(canary_soak=AN_HOUR), Path(directory)))
            handle = await world.start()
            await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=timedelta(milliseconds=200))
            await written_and_seen(land, handle, "off", world.plan.flags[0])
            land.source.fault = one_cascade
            await world.until(handle, RolloutStatus.ROLLED_BACK, step=timedelta(milliseconds=200))
            land.wire.acknowledge_writes(True)
            await world.until_under_way(handle, "guard_rollback", 1)
            await handle.execute_update(UPDATE_FINISH, Command(by="kim", reason="seen enough"), result_type=Answer)
            await handle.result()
            keep(name, await handle.fetch_history(), patch="own-flags-beside-a-failure")


async def record_what_came_while_it_was_checked(name: str, came: Callable[[Handle], Awaitable[None]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with checked_without_an_answer(name, Path(directory)) as (land, world, handle):
            await came(handle)
            answered_again(land)
            if name == EXTENDED_WHILE_CHECKED:
                await world.until_under_way(handle, "watch_gates", 1)
            else:
                await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=timedelta(milliseconds=200))
            await handle.signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "checkout is down"})
            await world.until_under_way(handle, "guard_rollback", 1)
            await handle.execute_update(UPDATE_FINISH, Command(by="kim", reason="seen enough"), result_type=Answer)
            await handle.result()
            keep(name, await handle.fetch_history(), patch=PATCH_OF[name])


async def record_an_approval_while_held() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with land_for([APPROVED_WHILE_HELD], Path(directory)) as land:
            shape = Shape(canary_soak=A_MOMENT, approval=True, staged_soak=A_MOMENT)
            world = land.world(plan_of(APPROVED_WHILE_HELD, shape, Path(directory)))
            handle = await world.start()
            await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=timedelta(milliseconds=200))
            land.source.busy_plans.add(APPROVED_WHILE_HELD)
            await until_held(world, handle)
            await handle.execute_update(UPDATE_APPROVE, Command(by="kim", reason="checked"), result_type=Answer)
            await world.until(handle, RolloutStatus.HOLDING, step=timedelta(milliseconds=200))
            land.source.busy_plans.clear()
            await handle.result()
            keep(APPROVED_WHILE_HELD, await handle.fetch_history())


async def record_an_approval_while_held_after_a_pause() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with land_for([RESUMED_WHILE_HELD], Path(directory)) as land:
            shape = Shape(canary_soak=A_MOMENT, approval=True, staged_soak=A_MOMENT)
            world = land.world(plan_of(RESUMED_WHILE_HELD, shape, Path(directory)))
            handle = await world.start()
            await resumed_to_its_approval_while_held(land, world, handle)
            await handle.execute_update(UPDATE_APPROVE, Command(by="kim", reason="checked"), result_type=Answer)
            land.source.busy_plans.clear()
            await handle.result()
            keep(RESUMED_WHILE_HELD, await handle.fetch_history(), patch="resumed-to-its-approval")


async def record_an_answer_beside_an_emergency() -> None:
    await record_beside_an_emergency(
        ANSWERED_BESIDE_AN_EMERGENCY, emergency_as_a_step_back_is_answered, "nothing-goes-on-beside-a-rollback"
    )


async def record_a_refusal_beside_an_emergency() -> None:
    await record_beside_an_emergency(
        REFUSED_BESIDE_AN_EMERGENCY, emergency_as_the_start_is_refused, "failed-beside-a-rollback"
    )


async def record_a_page_beside_an_emergency() -> None:
    await record_beside_an_emergency(
        PAGED_BESIDE_AN_EMERGENCY, emergency_as_the_dead_man_pages, "ended-as-it-paged", looked_after
    )


def soaking_long(name: str, directory: Path) -> RolloutPlan:
    return plan_of(name, Shape(canary_soak=AN_HOUR), directory)


async def record_beside_an_emergency(
    name: str,
    emergency: Callable[[Land, World], Awaitable[Handle]],
    patch: str,
    planned: Callable[[str, Path], RolloutPlan] = soaking_long,
) -> None:
    """The worlds of these stories are carried on only after the emergency has met what it is to meet."""
    with tempfile.TemporaryDirectory() as directory:
        async with land_for([name], Path(directory), worked_by=without_the_workflow) as land:
            world = land.world(planned(name, Path(directory)))
            handle = await emergency(land, world)
            async with carrying_on(world.client):
                await handle.execute_update(UPDATE_FINISH, Command(by="kim", reason="seen enough"), result_type=Answer)
                await handle.result()
            keep(name, await handle.fetch_history(), patch=patch)


async def record_a_rollback_that_was_overtaken() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with land_for([OVERTAKEN], Path(directory), worked_by=without_the_way_back) as land:
            world = land.world(plan_of(OVERTAKEN, Shape(canary_soak=AN_HOUR), Path(directory)))
            handle = await rollback_overtaken_while_its_worker_was_dead(land, world)
            async with the_way_back(land):
                await world.until_under_way(handle, "guard_rollback", 1)
                await handle.execute_update(UPDATE_FINISH, Command(by="kim", reason="seen enough"), result_type=Answer)
                await handle.result()
            keep(OVERTAKEN, await handle.fetch_history(), patch="overtaken-is-not-refused")


async def record_an_emergency_while_the_last_notice_is_not_delivered() -> None:
    name = EMERGENCY_BESIDE_A_NOTICE
    with tempfile.TemporaryDirectory() as directory:
        async with land_for([name], Path(directory), *SHORTLY) as land:
            world = land.world(plan_of(name, Shape(canary_soak=AN_HOUR), Path(directory)))
            handle = await emergency_while_the_last_notice_is_not_delivered(land, world)
            await world.until_under_way(handle, "guard_rollback", 1)
            land.channel.answering.set()
            await handle.execute_update(UPDATE_FINISH, Command(by="kim", reason="checked"), result_type=Answer)
            await handle.result()
            keep(name, await handle.fetch_history(), patch="an-emergency-waits-for-no-notice")


async def record_what_was_told_as_it_ended() -> None:
    """The last notice is delivered, and something more to tell arrives, in one task of the workflow."""
    name, soon = TOLD_AS_IT_ENDED, timedelta(milliseconds=200)
    with tempfile.TemporaryDirectory() as directory:
        async with land_for([name], Path(directory), worked_by=without_the_workflow) as land:
            shape = Shape(canary_soak=A_MOMENT, staged_soak=A_MOMENT)
            world = land.world(plan_of(name, shape, Path(directory)))
            async with carrying_on(world.client):
                handle = await world.start()
                await world.until(handle, RolloutStatus.SOAKING, stage="staged", step=soon)
                land.channel.answering.clear()
                await world.until(handle, RolloutStatus.COMPLETED, step=soon)
                await world.until_under_way(handle, "notify", 1)
            await handle.signal("hello")
            land.channel.answering.set()
            while await world.under_way(handle):
                await world.environment.sleep(soon)
            async with carrying_on(world.client):
                await handle.result()
            keep(name, await handle.fetch_history(), patch="nothing-told-is-left-behind")


async def record_a_start_with_blanks() -> None:
    """It fails at once, in words."""
    with tempfile.TemporaryDirectory() as directory:
        async with land_for([STARTED_WITH_BLANKS], Path(directory)) as land:
            world = land.world(plan_of(STARTED_WITH_BLANKS, Shape(), Path(directory)))
            request = {"plan": world.plan.model_dump(mode="json", exclude_none=True), "images": {"backend": " "}}
            handle = await started_with(world, [{**request, "by": "kim"}])
            with suppress(WorkflowFailureError):
                await handle.result()
            keep(STARTED_WITH_BLANKS, await handle.fetch_history(), patch="blanks-begin-nothing")


def patches_of(history: str) -> set[str]:
    """The names in the markers of a history."""
    markers = [event.get("markerRecordedEventAttributes", {}) for event in json.loads(history)["events"]]
    data = [marker["details"]["patch-data"]["payloads"][0]["data"] for marker in markers if marker]
    return {json.loads(b64decode(one))["id"] for one in data}


def keep(name: str, history: WorkflowHistory, patch: str | None = None) -> None:
    """Write it down, where it has what it was recorded for."""
    if patch is not None and patch not in patches_of(history.to_json()):
        raise SystemExit(f"{name}: what {patch} is about did not happen; record it again")
    # Where a failure came from names paths of this machine, and decides nothing.
    recorded = re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', history.to_json())
    (HISTORIES / f"{name}.json").write_text(recorded + "\n", encoding="utf-8")
    sys.stdout.write(f"{name}: {len(history.events)} events\n")


RECORDED_IN_REAL_TIME: dict[str, Callable[[], Awaitable[None]]] = {
    SET_WITHOUT_AN_ANSWER: partial(record_a_flag_set_without_an_answer, SET_WITHOUT_AN_ANSWER, held=False),
    SET_WHILE_HELD: partial(record_a_flag_set_without_an_answer, SET_WHILE_HELD, held=True),
    FAILED_WHILE_SET: record_a_failure_while_a_flag_was_set,
    STEPPED_BACK_WHILE_CHECKED: partial(record_what_came_while_it_was_checked, STEPPED_BACK_WHILE_CHECKED, step_back),
    EXTENDED_WHILE_CHECKED: partial(record_what_came_while_it_was_checked, EXTENDED_WHILE_CHECKED, extend),
    APPROVED_WHILE_HELD: record_an_approval_while_held,
    RESUMED_WHILE_HELD: record_an_approval_while_held_after_a_pause,
    ANSWERED_BESIDE_AN_EMERGENCY: record_an_answer_beside_an_emergency,
    REFUSED_BESIDE_AN_EMERGENCY: record_a_refusal_beside_an_emergency,
    PAGED_BESIDE_AN_EMERGENCY: record_a_page_beside_an_emergency,
    OVERTAKEN: record_a_rollback_that_was_overtaken,
    TOLD_AS_IT_ENDED: record_what_was_told_as_it_ended,
    STARTED_WITH_BLANKS: record_a_start_with_blanks,
    EMERGENCY_BESIDE_A_NOTICE: record_an_emergency_while_the_last_notice_is_not_delivered,
}


async def main() -> None:
    for name, story in STORIES.items():
        if not (HISTORIES / f"{name}.json").exists():
            await record(name, story)
    for name, recording in RECORDED_IN_REAL_TIME.items():
        if not (HISTORIES / f"{name}.json").exists():
            await recording()


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
