"""What somebody else changes beside a rollout: past it in the flag store, or at Cloud Run."""

from activities.cloud_run import RestoreTraffic
from rollout.flags import Exposure
from rollout.progress import RolloutProgress
from tests.workflows.world import World


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
