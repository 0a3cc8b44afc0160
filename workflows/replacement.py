"""Another candidate in the middle of a rollout: everything off and at its anchor, then the first stage, then this one.

A hotfix need not earn again what lies between. It must be deployed dark and prove itself under the first stage's gates,
and the stage that it is for begins anew, with evidence of its own.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.changing import Changing
from workflows.context import RolloutContext
from workflows.exposure import Exposing
from workflows.forward import call_forward
from workflows.traffic_shift import shift_all

with workflow.unsafe.imports_passed_through():
    from activities.cloud_run import CloudRunActivities
    from activities.feature_flags import CheckCandidates, FeatureFlagActivities, RecordAnchors
    from rollout.progress import RolloutStatus


class Replacement:
    def __init__(self, context: RolloutContext, exposing: Exposing, changing: Changing) -> None:
        self._context = context
        self._changing = changing
        self._exposing = exposing
        self._plan = context.plan
        self._progress = context.progress

    async def must_not_be_refused(self, images: dict[str, str]) -> None:
        """Ask the flag store whether these images were taken back before.

        Raises:
            ActivityError: they were.
        """
        await workflow.execute_activity_method(
            FeatureFlagActivities.check_candidates,
            CheckCandidates(environment=self._plan.environment, group=self._plan.name, candidates=images),
            **summarised(activity_options.FLAG_STORE, "was this candidate taken back before?"),
        )

    async def take(self) -> None:
        """Back to where the rollout began, with the new images; the stage of now is returned to after the first one."""
        context, progress = self._context, self._progress
        assert progress.replacing is not None, "taken only when a person asked for it"  # noqa: S101
        name = progress.current.name
        context.stand(RolloutStatus.ENTERING, "replacing the candidate", "flags off, traffic to its anchor, deploy")
        first = self._plan.stages[0]
        await self._changing.to(first, self._exposing.expose(first))
        await self._changing.to(first, shift_all(context, progress.candidates, 0))
        if progress.candidates:
            await asyncio.gather(*(self._anchor_anew(key) for key in self._plan.services))
        if workflow.patched("replacement-known-to-the-store"):
            await self._tell_the_store(progress.replacing)
        progress.images = progress.replacing
        progress.candidates.clear()
        progress.evidence, progress.stepped_back_from, progress.exposed_stage = None, (), None
        progress.approved.clear()
        self._begin_anew()
        progress.replacing, progress.stepping_back = None, False
        images = ", ".join(sorted(progress.images.values()))
        following = f"{progress.current.name} again" + (f", then {name} again" if progress.return_to else "")
        context.note("stage", f"candidate replaced by {images}: {following}")
        context.tell("warning", "Candidate replaced", f"{images}: {following}.")

    async def _tell_the_store(self, images: dict[str, str]) -> None:
        """Whoever goes back without Temporal refuses what the store knows as the candidate."""
        plan, progress = self._plan, self._progress
        await call_forward(
            self._context,
            FeatureFlagActivities.record_anchors,
            RecordAnchors(
                environment=plan.environment,
                group=plan.name,
                fence=progress.fence,
                anchors=progress.anchors,
                candidates=images,
            ),
            summarised(activity_options.FLAG_STORE, "keep beside the flags what the candidate is from now on"),
        )

    def _begin_anew(self) -> None:
        """The first stage, and the one of now with all after it, soak anew; what lies between keeps its pass."""
        progress = self._progress
        progress.return_to = progress.stage
        for index, stage in enumerate(progress.stages):
            between = 0 < index < progress.stage and stage.state == "passed"
            progress.stages[index] = stage.model_copy(update={"soak_state": None}) if between else stage.anew()
        progress.stage = 0

    async def _anchor_anew(self, key: str) -> None:
        """The new candidate is made from the service as it is now; what a rollback returns to stays what it was.

        Raises:
            ApplicationError: something else than the anchor has the traffic.
        """
        progress, anchor = self._progress, self._progress.anchors[key]
        now = await call_forward(
            self._context,
            CloudRunActivities.read_anchor,
            anchor.service,
            summarised(activity_options.READ_CLOUD_RUN, f"{key}: what serves now"),
        )
        if now.stable != anchor.stable:
            raise ApplicationError(f"{key}: {now.stable} serves and not its anchor {anchor.stable}", non_retryable=True)
        progress.anchors[key] = anchor.model_copy(update={"generation": now.generation})
