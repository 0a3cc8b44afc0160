"""Accepting what somebody else changed, where it exposes nobody beyond what the rollout set itself."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext

with workflow.unsafe.imports_passed_through():
    from activities.cloud_run import CloudRunActivities
    from activities.feature_flags import FeatureFlagActivities, ReadFlags
    from rollout.flag_limits import stage_that_shows
    from rollout.flags import Exposure
    from rollout.traffic import TrafficSplit


async def adopt(context: RolloutContext) -> str:
    """Take flags and traffic as they are now for what the rollout set; says what that is.

    Raises:
        ApplicationError: they expose more, or to something that this rollout knows nothing of; nothing was adopted.
    """
    async with context.writing_flags:
        flags, splits = await asyncio.gather(_read_flags(context), _read_traffic(context))
        limits = {
            flag: _limit_of(context, flag, shown) for flag, shown in flags.items() if _differs(context, flag, shown)
        }
        for key, split in splits.items():
            _must_be_known(context, key, split)
        progress = context.progress
        progress.flags.update(flags)
        progress.limits.update(limits)
        progress.traffic.update(splits)
    shown = ", ".join(f"{flag} {exposure.in_words()}" for flag, exposure in sorted(flags.items()))
    served = "; ".join(f"{key}: {split.in_words()}" for key, split in sorted(splits.items()))
    return f"adopted: {'; '.join(part for part in (shown, served) if part)}"


async def _read_flags(context: RolloutContext) -> dict[str, Exposure]:
    return await workflow.execute_activity_method(
        FeatureFlagActivities.read_flags,
        ReadFlags(environment=context.plan.environment, group=context.plan.name),
        **summarised(activity_options.FLAG_STORE, "what the flags show now"),
    )


async def _read_traffic(context: RolloutContext) -> dict[str, TrafficSplit]:
    # An anchor is one revision that has all traffic; what is adopted may be shared by two.
    whatever_serves = workflow.patched("a-shared-split-is-adopted")

    async def of(key: str) -> TrafficSplit:
        service = context.plan.service_ref(key)
        options = summarised(activity_options.READ_CLOUD_RUN, f"{key}: what serves now")
        if whatever_serves:
            return await workflow.execute_activity_method(CloudRunActivities.read_traffic, service, **options)
        return (await workflow.execute_activity_method(CloudRunActivities.read_anchor, service, **options)).split

    keys = list(context.plan.services)
    return dict(zip(keys, await asyncio.gather(*(of(key) for key in keys)), strict=True))


def _differs(context: RolloutContext, flag: str, shown: Exposure) -> bool:
    return not shown.shows_the_same(context.progress.flags[flag])


def _limit_of(context: RolloutContext, flag: str, shown: Exposure) -> str:
    """The stage at which a flag is held from now on, because somebody set it there."""
    before = context.progress.flags[flag]
    if shown.order > before.order:
        raise ApplicationError(
            f"cannot adopt: {flag} is shown to {shown.in_words()}, the rollout set {before.in_words()}"
        )
    stage = stage_that_shows(context.plan, flag, shown)
    if stage is None:
        raise ApplicationError(f"cannot adopt: {flag} is shown to {shown.in_words()}, which no stage of the plan does")
    return stage


def _must_be_known(context: RolloutContext, key: str, split: TrafficSplit) -> None:
    progress = context.progress
    anchor, candidate, before = progress.anchors[key], progress.candidates[key], progress.traffic[key]
    strangers = sorted(set(split.shares) - set(anchor.split.shares) - {candidate.revision})
    if strangers:
        raise ApplicationError(
            f"cannot adopt: {key} serves {', '.join(strangers)}, which this rollout knows nothing of. Give its traffic "
            f"back ({before.in_words()}), or take the rollout back"
        )
    if split.share_of(candidate.revision) > before.share_of(candidate.revision):
        raise ApplicationError(f"cannot adopt: {key} serves {split.in_words()}, the rollout set {before.in_words()}")
