"""Who sees the features: a stage sets all flags at once, a person may hold single ones below it."""

from collections.abc import Collection
from functools import partial

from temporalio import workflow

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.context import RolloutContext
from workflows.forward import call_forward

with workflow.unsafe.imports_passed_through():
    from activities.feature_flags import FeatureFlagActivities, SetExposures
    from rollout import exposure as exposures
    from rollout.binding import ladder_of
    from rollout.flags import OFF, Exposure
    from rollout.plan_parts import Stage


class Exposing:
    def __init__(self, context: RolloutContext) -> None:
        self._context = context
        self._plan = context.plan
        self._progress = context.progress

    async def expose(self, stage: Stage) -> bool:
        """Write the stage's exposure to all flags at once; whether anything changed."""
        async with self._context.writing_flags:
            progress = self._progress
            wanted = {flag: self._within_its_limit(flag, stage) for flag in self._plan.flags}
            progress.exposed_stage = stage.name
            if all(progress.flags[flag].shows_the_same(document) for flag, document in wanted.items()):
                return False
            shown = exposures.who_sees(exposures.in_words(stage.exposure))
            self._context.waiting_for(f"flags to {shown}")
            # A stage rises by one step; only one that is returned to lies higher.
            for rung in ladder_of(self._plan):
                on_the_way = {
                    flag: rung for flag, to in wanted.items() if progress.flags[flag].order < rung.order < to.order
                }
                if on_the_way:
                    summary = f"features for {rung.in_words()}, on their way up"
                    await self._show(on_the_way, stage, summary)
            await self._show(wanted, stage, f"features for {shown}, read back")
            self._context.note("flags", "features are off" if shown == "nobody" else f"features are on for {shown}")
            return True

    async def limit(self, flag: str, stage_name: str, by: str, reason: str) -> bool:
        """Hold one flag at an earlier stage, or at off, from now on; whether it rose because its limit was higher.

        At the stage that the rollout has reached there is nothing to hold back: then the limit is gone.
        """
        async with self._context.writing_flags:
            progress = self._progress
            before, wanted = progress.flags[flag], self.document_of(flag, stage_name)
            if wanted.order > before.order:
                await self._climb(flag, before, wanted, by, reason)
            elif not wanted.shows_the_same(before):
                await self._set({flag: wanted}, by, reason, f"{flag} for {wanted.in_words()} only, read back")
            if stage_name != exposures.OFF:
                progress.switched_off.pop(flag, None)
            if stage_name == progress.exposed_stage:
                progress.limits.pop(flag, None)
            else:
                progress.limits[flag] = stage_name
            return wanted.order > before.order

    async def switch_off(self, flag: str, by: str, reason: str) -> bool:
        """Turn one flag off for a gate, read back; False where that was done meanwhile, or is not wanted any more."""
        async with self._context.writing_flags:
            progress = self._progress
            if progress.flags[flag].exposure == exposures.OFF or flag not in progress.switched_off:
                return False

            await call_forward(
                self._context,
                FeatureFlagActivities.set_exposures,
                # Whatever it shows by now: turning off is always allowed, and it may have been done before.
                self._request({flag: OFF}, by, reason).model_copy(update={"expected": {}}),
                summarised(activity_options.FLAG_STORE, f"{flag} off alone, read back"),
                keep=partial(self._keep, (flag,)),
            )
            return True

    def document_of(self, flag: str, stage_name: str) -> Exposure:
        """What one flag shows at a stage of the plan, or at `off`."""
        stage = next((stage for stage in self._plan.stages if stage.name == stage_name), None)
        if stage is None:
            return OFF
        return exposures.document_of(exposures.exposure_of(stage.exposure, flag), stage.name)

    def _within_its_limit(self, flag: str, stage: Stage) -> Exposure:
        wanted, limit = self.document_of(flag, stage.name), self._progress.limits.get(flag)
        return wanted if limit is None else min(wanted, self.document_of(flag, limit), key=lambda shown: shown.order)

    async def _climb(self, flag: str, before: Exposure, wanted: Exposure, by: str, reason: str) -> None:
        """The flag store lets a flag rise by one step of the plan's ladder at a time."""
        for rung in ladder_of(self._plan):
            if before.order < rung.order < wanted.order:
                await self._set({flag: rung}, by, reason, f"{flag} for {rung.in_words()}, on its way up")
        await self._set({flag: wanted}, by, reason, f"{flag} for {wanted.in_words()} again, read back")

    async def _show(self, to: dict[str, Exposure], stage: Stage, summary: str) -> None:
        self._count_exposure(to)
        await call_forward(
            self._context,
            FeatureFlagActivities.set_exposures,
            self._request(to, self._progress.started_by, f"stage {stage.name}"),
            summarised(activity_options.FLAG_STORE, summary),
            keep=partial(self._keep, to),
        )

    async def _set(self, to: dict[str, Exposure], by: str, reason: str, summary: str) -> None:
        """For a person, beside the way forward."""
        self._count_exposure(to)
        shown = await workflow.execute_activity_method(
            FeatureFlagActivities.set_exposures,
            self._request(to, by, reason),
            **summarised(activity_options.FLAG_STORE, summary),
        )
        self._keep(to, shown)

    def _keep(self, to: Collection[str], shown: dict[str, Exposure]) -> None:
        """What the store showed after a write. What somebody else made of other flags is not the rollout's own."""
        others = {flag: ours for flag, ours in self._progress.flags.items() if flag not in to}
        foreign = any(shown.get(flag) != ours for flag, ours in others.items())
        if foreign and workflow.patched("other-flags-stay-as-they-were-set"):
            shown = shown | others
        self._progress.flags = shown

    def _count_exposure(self, to: dict[str, Exposure]) -> None:
        """From here on what is measured of the cohort is no longer its past without the features."""
        progress = self._progress
        # A rollout that began before this was kept never knows when its cohort was first exposed.
        if progress.flags_off_since is not None and any(document.exposure == "percent" for document in to.values()):
            progress.exposed_at = progress.exposed_at or workflow.now()

    def _request(self, to: dict[str, Exposure], by: str, reason: str) -> SetExposures:
        plan, progress = self._plan, self._progress
        return SetExposures(
            environment=plan.environment,
            group=plan.name,
            fence=progress.fence,
            to=to,
            expected=progress.flags,
            by=by,
            reason=reason,
        )
