"""Before the first change: a trial of the gates, ownership and a fence, the anchors of a rollback, the baseline.

Nothing here changes what anybody is served. Whatever fails for good refuses the rollout.
"""

import asyncio

from temporalio import workflow

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext
from workflows.forward import call_forward

with workflow.unsafe.imports_passed_through():
    from activities.cloud_run import CloudRunActivities
    from activities.feature_flags import BeginRollout, Begun, FeatureFlagActivities, RecordAnchors
    from activities.gate_trial import GateTrialActivities, TryGates
    from activities.monitoring import CaptureBaseline, MonitoringActivities
    from rollout import exposure as exposures
    from rollout.binding import audience_of, baseline_queries, ladder_of, stages_of
    from rollout.gate_trial import in_a_sentence, too_slow_in_a_sentence
    from rollout.traffic import ServiceAnchor
    from rollout.wording import duration_in_words


async def prepare(context: RolloutContext) -> None:
    """Leaves fence, baseline and anchors in the record; with the anchors there, preparation is complete."""
    progress = context.progress
    context.note("started", f"started: {context.request.reason or context.plan.description}", progress.started_by)
    context.waiting_for("reading what serves now")
    read = await asyncio.gather(*(read_anchor(context, key) for key in context.plan.services))
    anchors = dict(zip(context.plan.services, read, strict=True))
    if workflow.patched("trial-of-gates"):
        await _try_gates(context)
    await _take_ownership(context, above=max(anchor.fence for anchor in read))
    await _measure_baseline(context)
    await record_anchors(context, anchors)


async def _try_gates(context: RolloutContext) -> None:
    context.waiting_for("trying the gates")
    found = await call_forward(
        context,
        GateTrialActivities.try_gates,
        TryGates(plan=context.plan),
        summarised(activity_options.READ_MONITORING, "every gate once, on what is measured now and on a breach"),
    )
    context.note("started", in_a_sentence(found))
    if slow := too_slow_in_a_sentence(found):
        context.note("gate", slow)


async def _take_ownership(context: RolloutContext, above: int) -> None:
    plan, progress = context.plan, context.progress
    context.waiting_for("taking ownership of flags and services")

    def keep(begun: Begun) -> None:
        progress.fence = begun.fence
        progress.flags_off_since = workflow.now()
        progress.flags = {flag: exposures.document_of(exposures.OFF, "off") for flag in plan.flags}

    await call_forward(
        context,
        FeatureFlagActivities.begin_rollout,
        BeginRollout(
            environment=plan.environment,
            group=plan.name,
            owner=context.owner,
            by=progress.started_by,
            flags=plan.flags,
            audience=audience_of(plan),
            cohort=plan.cohort,
            ladder=ladder_of(plan),
            candidates=progress.images,
            services=tuple(plan.service_ref(key).resource_name for key in plan.services),
            again=context.request.again,
            min_epoch=above + 1,
            deadman=plan.deadman.flags_off_after if plan.deadman else None,
            stages=stages_of(plan),
        ),
        summarised(activity_options.FLAG_STORE, "take ownership and a fence, every flag off"),
        keep=keep,
    )


async def read_anchor(context: RolloutContext, key: str) -> ServiceAnchor:
    """What the service serves.

    Raises:
        ActivityError: that is not beyond doubt.
    """
    return await call_forward(
        context,
        CloudRunActivities.read_anchor,
        context.plan.service_ref(key),
        summarised(activity_options.READ_CLOUD_RUN, f"{key}: what serves now"),
    )


async def _measure_baseline(context: RolloutContext) -> None:
    queries, window = baseline_queries(context.plan), context.plan.baseline.window
    if not queries:
        return
    context.waiting_for("measuring the baseline")
    context.progress.baseline = await call_forward(
        context,
        MonitoringActivities.capture_baseline,
        CaptureBaseline(queries=queries, window=window),
        summarised(
            activity_options.READ_MONITORING, f"baseline: the {duration_in_words(window)} before the first change"
        ),
    )


async def record_anchors(context: RolloutContext, anchors: dict[str, ServiceAnchor]) -> None:
    """From now on a rollback returns these services, to which nothing of this rollout is deployed, to these states."""
    plan, progress = context.plan, context.progress
    context.waiting_for("recording the anchors")

    def keep(_: None) -> None:
        progress.anchors |= anchors
        progress.traffic |= {key: anchor.split for key, anchor in anchors.items()}
        described = "; ".join(f"{key}: {anchor.split.in_words()}" for key, anchor in anchors.items())
        context.note("started", f"anchor recorded ({described}), every flag off")

    await call_forward(
        context,
        FeatureFlagActivities.record_anchors,
        RecordAnchors(
            environment=plan.environment,
            group=plan.name,
            fence=progress.fence,
            anchors=progress.anchors | anchors,
        ),
        summarised(
            activity_options.FLAG_STORE, "keep the anchors beside the flags, for whoever must go back without Temporal"
        ),
        keep=keep,
    )
