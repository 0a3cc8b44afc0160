"""What somebody else changes beside a rollout: past it in the flag store, or at Cloud Run."""

from google.cloud import run_v2
from temporalio.testing import ActivityEnvironment

from activities.cloud_run import RestoreTraffic, ShiftTraffic
from activities.google_clients import google_clients
from rollout.flags import Exposure
from rollout.progress import RolloutProgress
from tests.workflows.answers_kept_back import answered_again, asked_without_an_answer
from tests.workflows.many_rollouts import Land
from tests.workflows.matrix_checks import AN_ENDPOINT
from tests.workflows.small_plans import A_MOMENT, Shape
from tests.workflows.world import Handle, World

CHECKED_BEFORE_STAGED = Shape(check=AN_ENDPOINT, staged_soak=A_MOMENT)
SET_BY_ROBIN = 5
_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST


async def raise_a_flag(world: World) -> None:
    """Shows one flag of three to half of the users."""
    more = {"request_isolation": Exposure(exposure="percent", bp=5_000, stage="staged")}
    assert (await world.store.override(more, by="robin", reason="impatient")).accepted


async def give_traffic_back(world: World, progress: RolloutProgress, *services: str, fence: int | None = None) -> None:
    """Gives these services, or all, the traffic that they had before, by the rollout's own fence or another one."""
    for key in services or progress.anchors:
        restored = RestoreTraffic(
            anchor=progress.anchors[key], candidate=progress.candidates[key], fence=fence or progress.fence
        )
        await world.cloud_run.restore_traffic(restored)


async def take_back_directly(world: World, progress: RolloutProgress) -> int:
    """As `rollout emergency-rollback --direct` does it. The fence, which is higher each time."""
    assert (await world.store.emergency(by="on-call", reason="from a terminal")).accepted
    fence = (await world.flags()).epoch
    await restore_traffic_directly(world, progress, fence)
    return fence


async def restore_traffic_directly(world: World, progress: RolloutProgress, fence: int) -> None:
    for anchor in progress.anchors.values():
        await world.cloud_run.restore_traffic(RestoreTraffic(anchor=anchor, candidate=None, fence=fence))


async def traffic_belongs_to_a_later_fence(world: World, progress: RolloutProgress) -> None:
    """Cloud Run then refuses whatever this rollout writes."""
    await give_traffic_back(world, progress, fence=progress.fence + 100)


async def deploy_by_hand(world: World, image: str) -> str:
    """To the one service there is, with all traffic, as others do it; the revision that then serves."""
    (key,) = world.plan.services
    ref, google = world.plan.service_ref(key), google_clients(world.sandbox.grpc_target)
    try:
        update = run_v2.Service(
            name=ref.resource_name,
            template=run_v2.RevisionTemplate(containers=[run_v2.Container(image=image)]),
            traffic=[run_v2.TrafficTarget(type_=_LATEST, percent=100)],
        )
        request = run_v2.UpdateServiceRequest(service=update, update_mask={"paths": ["template", "traffic"]})
        operation = await google.services.update_service(request=request)
        await operation.result()  # type: ignore[no-untyped-call]  # Google's operations leave it untyped
    finally:
        await google.close()
    (serving,) = (await world.cloud_run.read_traffic(ref)).shares
    return serving


async def split_by_hand(world: World, progress: RolloutProgress, percent: int) -> None:
    """So much to the candidate of the one service there is."""
    (key, candidate), *_ = progress.candidates.items()
    request = ShiftTraffic(anchor=progress.anchors[key], candidate=candidate, percent=percent, fence=progress.fence)
    await ActivityEnvironment().run(world.cloud_run.shift_traffic, request)


async def split_by_hand_just_before_a_step(land: Land, world: World, percent: int = SET_BY_ROBIN) -> Handle:
    """Of a plan that is `CHECKED_BEFORE_STAGED`: the split is changed during the check, and only then does that end."""
    handle = await asked_without_an_answer(land, world)
    await split_by_hand(world, await world.progress(handle), percent)
    answered_again(land)
    return handle
