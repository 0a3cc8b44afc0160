"""What a watch is told: the gates of a stage, bound to this rollout, and the flags and traffic that it is to expect."""

from datetime import timedelta

from temporalio import workflow

from workflows.context import RolloutContext

with workflow.unsafe.imports_passed_through():
    from rollout.binding import bind_gates
    from rollout.cohort_past import past_of
    from rollout.flag_limits import undecided
    from rollout.plan_parts import Stage
    from rollout.progress import StageProgress
    from rollout.soak import WITHOUT_END, SoakState
    from rollout.soak_evidence import SoakEvidence
    from rollout.verdict import LEAVING
    from rollout.watch import Expected, ExpectedTraffic, WatchRequest
    from rollout.wording import off_in_words


def watch_request(context: RolloutContext, stage: Stage, state: StageProgress, target: timedelta) -> WatchRequest:
    """The stage's gates, and whatever else a look of the soak is to take for expected."""
    plan, progress = context.plan, context.progress
    assert state.soak_state is not None, "a stage soaks from the moment it was entered"  # noqa: S101
    past = None
    if progress.flags_off_since is not None and progress.exposed_at is not None:
        past = past_of(progress.flags_off_since, progress.exposed_at, plan.baseline.window, plan.check_interval)
    return WatchRequest(
        stage=stage.name,
        soak=state.soak_state,
        evidence=progress.evidence,
        target=target,
        # Only the plan's own soak is shortened: not a held traffic step, and not what a person asked for on top.
        minimum_soak=stage.accelerate.minimum_soak if stage.accelerate and target == stage.soak else None,
        gates=bind_gates(plan, stage, progress.baseline, progress.anchors, progress.candidates, past),
        suspensions=tuple(progress.suspensions),
        promote_after=state.promote_after,
        waived=state.waived,
        switched_off={flag: off_in_words(progress, flag) for flag in undecided(plan, progress, stage)},
        expected=Expected(
            environment=plan.environment,
            group=plan.name,
            fence=progress.fence,
            flags=progress.flags,
            traffic=tuple(
                ExpectedTraffic(service=plan.service_ref(key), split=split, anchor=progress.anchors[key].split)
                for key, split in progress.traffic.items()
            ),
        ),
    )


def request_beside_a_change(
    context: RolloutContext, stage: Stage, soak: SoakState, evidence: SoakEvidence | None
) -> WatchRequest:
    """Only what takes the rollout back. Flags and traffic are on their way, so that nothing is said of them."""
    state = StageProgress(name=stage.name, exposure="", soak=stage.soak, soak_state=soak)
    request = watch_request(context, stage, state, WITHOUT_END)
    return request.model_copy(
        update={
            "evidence": evidence,
            "gates": {name: bound for name, bound in request.gates.items() if bound.gate.action in LEAVING},
            "expected": request.expected.model_copy(update={"flags": {}, "traffic": ()}),
            "switched_off": {},
        }
    )
