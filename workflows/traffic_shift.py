"""Moving one service's traffic to a share of the candidate, up or down; read back before it is called done."""

import asyncio
from collections.abc import Iterable

from temporalio import workflow

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext
from workflows.forward import call_forward

with workflow.unsafe.imports_passed_through():
    from activities.cloud_run import CloudRunActivities, ShiftTraffic
    from rollout.traffic import TrafficSplit


async def shift(context: RolloutContext, key: str, percent: int, *, instead_of: TrafficSplit | None = None) -> None:
    """Move it, whatever it is at; or only from `instead_of`, and not from what somebody else made of it."""
    progress = context.progress
    anchor, candidate = progress.anchors[key], progress.candidates[key]
    context.waiting_for(f"traffic to {percent} %")

    def keep(split: TrafficSplit) -> None:
        progress.traffic[key] = split
        context.note("traffic", f"{key}: {split.in_words()}")

    await call_forward(
        context,
        CloudRunActivities.shift_traffic,
        ShiftTraffic(anchor=anchor, candidate=candidate, percent=percent, fence=progress.fence, instead_of=instead_of),
        summarised(activity_options.CHANGE_CLOUD_RUN, f"{key}: {percent} % to the candidate, read back"),
        keep=keep,
        ends_before_the_run=True,
    )


async def shift_all(context: RolloutContext, keys: Iterable[str], percent: int) -> None:
    await asyncio.gather(*(shift(context, key, percent) for key in keys))
