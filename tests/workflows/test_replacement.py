"""A hotfix in the middle of a rollout: dark first, under the first stage's gates, then the stage that it is for."""

from datetime import timedelta

from rollout.commands import CommandName
from rollout.messages import Answer, Command, ReplaceCandidate
from rollout.progress import RolloutStatus
from tests.workflows.changed_plans import SOAK
from tests.workflows.commanding import ask, refusal
from tests.workflows.measured_faults import errors_of_treated_users
from tests.workflows.standing import in_stage, taken_back
from tests.workflows.world import Handle, World

HOTFIX = {"backend": "registry.example/backend:hotfix"}


def replacing(images: dict[str, str], reason: str = "a fix") -> ReplaceCandidate:
    return ReplaceCandidate(by="kim", reason=reason, images=images)


async def replace(handle: Handle, images: dict[str, str]) -> Answer:
    return await ask(handle, CommandName.REPLACE_CANDIDATE, replacing(images))


async def not_replaced(handle: Handle, images: dict[str, str], reason: str = "a fix") -> str:
    """Why it is not."""
    return await refusal(handle, CommandName.REPLACE_CANDIDATE, replacing(images, reason))


async def test_a_hotfix_is_deployed_dark_soaks_in_the_first_stage_and_then_in_the_one_it_is_for(world: World) -> None:
    handle = await in_stage(world, "canary")
    before = await world.progress(handle)

    answer = await replace(handle, HOTFIX)

    assert answer.next == "features off and traffic at its anchor, then deploy-off again, then canary"
    waiting = await world.until(handle, RolloutStatus.AWAITING_APPROVAL, step=timedelta(minutes=1))
    assert waiting.current.name == "deploy-off"
    assert {flag.exposure for flag in (await world.flags()).flags.values()} == {"off"}
    await world.approve(handle)
    dark = await world.until(handle, RolloutStatus.SOAKING, stage="deploy-off", step=timedelta(minutes=1))
    assert dark.candidates["backend"].image == HOTFIX["backend"]
    assert dark.candidates["auth"].image == before.images["auth"]
    assert dark.candidates["backend"].revision != before.candidates["backend"].revision
    assert dark.anchors["backend"].split == before.anchors["backend"].split
    again = await world.until(handle, RolloutStatus.SOAKING, stage="canary")
    assert again.stages[1].state == "passed"
    assert again.current.credit < SOAK
    assert {flag.stage for flag in (await world.flags()).flags.values()} == {"canary"}
    assert await world.candidate_shares(again) == {"backend": 100, "auth": 100}

    result = await handle.result()

    assert result.status is RolloutStatus.COMPLETED, result.why
    assert result.images == before.images | HOTFIX


async def test_a_hotfix_that_fails_as_well_is_the_one_that_is_taken_back_and_refused(world: World) -> None:
    handle = await in_stage(world, "canary")
    await replace(handle, HOTFIX)
    await world.approve(handle)
    await world.until(handle, RolloutStatus.SOAKING, stage="canary")
    world.source.fault = errors_of_treated_users

    await taken_back(world, handle, "gate")

    refused = (await world.store.read_safety()).refused
    assert f"backend={HOTFIX['backend']}" in refused
    assert "backend=registry.example/backend:candidate" not in refused


async def test_a_replacement_needs_a_reason_a_service_of_the_plan_and_another_image(world: World) -> None:
    handle = await in_stage(world, "internal")
    now = (await world.progress(handle)).images

    assert "needs a reason" in await not_replaced(handle, HOTFIX, reason="")
    assert "frontend is no service of the plan; it has: backend, auth" in await not_replaced(handle, {"frontend": "x"})
    assert "these images are being rolled out already" in await not_replaced(handle, now)
    assert (await world.progress(handle)).images == now


async def test_a_candidate_that_was_taken_back_before_cannot_come_in_as_a_replacement(world: World) -> None:
    handle = await in_stage(world, "internal")
    images = (await world.progress(handle)).images | HOTFIX
    refused = await world.store.refuse_candidates(images, by="kim", reason="it broke checkout", idempotency_key="k")
    assert refused.accepted

    assert "taken back before (kim: it broke checkout)" in await not_replaced(handle, HOTFIX)
    assert (await world.progress(handle)).replacing is None


async def test_asking_again_makes_the_watch_look_anew(world: World) -> None:
    handle = await in_stage(world, "internal")

    answer = await ask(handle, CommandName.RETRY, Command(by="kim"))

    assert answer.happened == "asked to look again at once"
    await world.until(handle, RolloutStatus.SOAKING, stage="canary")
