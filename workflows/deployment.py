"""The candidates at 0 %, each beside what serves.

Between the reading of the anchors and the deployment lies a person's approval, which may take days. Where somebody else
has deployed meanwhile, that is what a rollback returns to from then on, and the rollout holds: what the candidate is
made from is no longer what was tried and measured, and a person decides whether it may be.
"""

import asyncio
from collections.abc import Iterable
from contextlib import ExitStack

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext, is_change_by_others, reason_of
from workflows.forward import call_forward
from workflows.preparation import read_anchor, record_anchors
from workflows.promotion_window import PromotionWindow
from workflows.soaking import leave
from workflows.waiting import Waiting

with workflow.unsafe.imports_passed_through():
    from activities.cloud_run import CloudRunActivities, DeployCandidate
    from rollout.plan_parts import Stage
    from rollout.progress import RolloutStatus, StageProgress
    from rollout.traffic import CANDIDATE_TAG, Candidate, ServiceAnchor, split_between


class Deployment:
    def __init__(self, context: RolloutContext, waiting: Waiting, window: PromotionWindow) -> None:
        self._context = context
        self._waiting = waiting
        self._window = window
        self._plan = context.plan
        self._progress = context.progress

    async def take(self, stage: Stage, state: StageProgress) -> None:
        """Deploy what is not deployed yet. Returns early when a person interrupts the waiting."""
        progress = self._progress
        while True:
            changed: dict[str, str] = {}
            if progress.deployed_by_others:
                shown = {key: progress.anchors[key] for key in progress.deployed_by_others}
                await self._until_adopted(stage, state)
                if self._waiting.interrupted():
                    return
                if workflow.patched("reading-anew-is-waited-for"):
                    self._context.waiting_for("reading what serves now")
                in_doubt = await self._anchored_anew(shown)
                changed = in_doubt | self._not_as_shown(shown)
            if not changed:
                changed = await self._changed_by_others()
            if not changed:
                return
            self._hold(stage, changed)

    async def _changed_by_others(self) -> dict[str, str]:
        """What kept services from being deployed to, by their keys and in words; empty where all were."""
        missing = [key for key in self._plan.services if key not in self._progress.candidates]
        read: dict[str, str] = {}
        with ExitStack() as in_one_run:
            deploying = asyncio.gather(*(self._deploy(key, read, in_one_run) for key in missing))
            try:
                await self._context.until_done(deploying.done)
            finally:
                leave(deploying)
        found = deploying.result()
        changed = {key: why for key, why in zip(missing, found, strict=True) if why}
        if changed and changed.keys() <= read.keys() and workflow.patched("recorded-as-read-at-once"):
            in_doubt = await self._recorded({key: read[key] for key in changed})
        else:
            in_doubt = await self._anchored_anew(changed)
        for key, why in changed.items():
            serves = f"{self._progress.anchors[key].stable} serves now, and a rollback returns to it"
            changed[key] = f"{why}; {in_doubt.get(key, serves)}"
        return changed

    def _not_as_shown(self, shown: dict[str, ServiceAnchor]) -> dict[str, str]:
        """What serves by now instead of what a person has adopted, by keys and in words: it was not decided about."""
        found: dict[str, str] = {}
        for key, before in shown.items():
            now = self._progress.anchors[key]
            if now.stable != before.stable and workflow.patched("adopted-as-it-was-shown"):
                found[key] = (
                    f"{now.service.service} was changed by somebody else again: {now.stable} serves now and no longer "
                    f"{before.stable}, and a rollback returns to it"
                )
        return found

    def _hold(self, stage: Stage, changed: dict[str, str]) -> None:
        self._progress.deployed_by_others = changed
        why = "; ".join(changed.values())
        self._context.note("hold", f"holding: {why}")
        # Nothing but a person ends it.
        self._context.tell("page", f"{stage.name} is holding", f"{why}. {self._how_adopted}")

    async def _until_adopted(self, stage: Stage, state: StageProgress) -> None:
        """And until nobody has paused it, and its window, which may have closed meanwhile, is open."""
        context, progress = self._context, self._progress
        while progress.deployed_by_others and not self._waiting.interrupted():
            context.stand(RolloutStatus.HOLDING, "; ".join(progress.deployed_by_others.values()), self._how_adopted)
            await self._waiting.until(lambda: progress.paused or not progress.deployed_by_others)
            await self._waiting.not_paused()
        await self._window.still_open(state, stage.name)
        context.stand(RolloutStatus.ENTERING, f"{stage.name} begins with what somebody else deployed", "deploy at 0 %")

    @property
    def _how_adopted(self) -> str:
        return (
            f"`rollout resolve-hold adopt {self._plan.name} --reason …` deploys the candidate beside that; "
            f"to give the rollout up: `rollout emergency-rollback {self._plan.name} --reason …`"
        )

    async def _anchored_anew(self, keys: Iterable[str]) -> dict[str, str]:
        """What serves now is what a rollback returns to. Where that is in doubt the anchor stays; returns why."""
        return await self._recorded({key: await self._read_anew(key) for key in keys})

    async def _recorded(self, read: dict[str, str]) -> dict[str, str]:
        """Services that were read anew, and what is in doubt about each: the anchors of the others are kept for all."""
        found = {key: self._progress.anchors[key] for key, doubt in read.items() if not doubt}
        if found:
            await record_anchors(self._context, found)
        return {key: doubt for key, doubt in read.items() if doubt}

    async def _read_anew(self, key: str) -> str:
        """What a rollback returns to from now on, also should the flag store be away; why, where that is in doubt."""
        try:
            anchor = await read_anchor(self._context, key)
        except ActivityError as failure:
            if is_cancelled_exception(failure):
                raise
            return reason_of(failure)
        if anchor.image == self._progress.images[key]:
            return f"{anchor.stable} serves, and its image is the candidate's"
        self._progress.anchors[key] = anchor
        return ""

    async def _deploy(self, key: str, read: dict[str, str], in_one_run: ExitStack) -> str:
        """What kept it from being deployed, in words; empty where it was. What serves instead is `read` at once."""
        progress = self._progress
        self._context.waiting_for("deploying at 0 %")

        def keep(candidate: Candidate) -> None:
            progress.candidates[key] = candidate
            progress.traffic[key] = split_between(progress.anchors[key], candidate, 0)
            self._context.note("traffic", f"{key}: {candidate.revision} deployed at 0 %")

        try:
            await call_forward(
                self._context,
                CloudRunActivities.deploy_candidate,
                DeployCandidate(
                    anchor=progress.anchors[key],
                    image=progress.images[key],
                    tag=CANDIDATE_TAG,
                    rollout_id=self._context.owner,
                    fence=progress.fence,
                ),
                summarised(activity_options.CHANGE_CLOUD_RUN, f"{key}: deploy {progress.images[key]} at 0 %"),
                keep=keep,
                ends_before_the_run=True,
            )
        except ActivityError as failure:
            # What serves after a replacement may be the candidate that was replaced, and is no anchor.
            of_others = is_change_by_others(failure) and progress.return_to is None
            if not of_others or not workflow.patched("others-deployments-are-not-undone"):
                raise
            if workflow.patched("anchors-read-as-soon-as-refused"):
                # Others may be deployed for long yet, or fail. A new run would not know that this one was refused.
                in_one_run.enter_context(self._context.in_one_run())
                read[key] = await self._read_anew(key)
            return reason_of(failure)
        return ""
