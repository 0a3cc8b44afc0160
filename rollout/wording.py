"""Progress and verdicts in words: what people read in the Temporal UI, in `rollout status` and in failure texts.

Pure functions from values to text. Nothing here decides anything.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from rollout.exposure import in_words, who_sees
from rollout.moments import time_of_day
from rollout.plan import RolloutPlan
from rollout.progress import Rollback, RolloutProgress, RolloutStatus, StageProgress
from rollout.soak import WITHOUT_END, SoakState
from rollout.verdict import UNTROUBLED, Judgement, Verdict, worst

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOTHING = "–"
_NO_BREAK = "\u00a0"
# Markdown takes other spaces away at the end of a cell.
_GAP = _NO_BREAK * 3

_STATUS = {
    RolloutStatus.STARTING: "starting",
    RolloutStatus.AWAITING_WINDOW: "waiting for the window of",
    RolloutStatus.AWAITING_APPROVAL: "waiting for approval of",
    RolloutStatus.ENTERING: "entering",
    RolloutStatus.SOAKING: "soaking in",
    RolloutStatus.HOLDING: "holding in",
    RolloutStatus.PAUSED: "paused in",
    RolloutStatus.WATCHING: "all stages passed, watching",
    RolloutStatus.ROLLING_BACK: "rolling back from",
    RolloutStatus.ROLLED_BACK: "rolled back from",
    RolloutStatus.COMPLETED: "completed",
    RolloutStatus.REFUSED: "refused",
}
_BEFORE_A_STAGE = {RolloutStatus.HOLDING: "holding before", RolloutStatus.PAUSED: "paused before"}
_WITHOUT_A_STAGE = (RolloutStatus.STARTING, RolloutStatus.COMPLETED, RolloutStatus.REFUSED)
# Verdicts are declared in the order of how much they matter.
_MATTERS = {verdict: position for position, verdict in enumerate(Verdict)}
_STAGE_MARKS = {"pending": "", "entering": "▶ ", "soaking": "▶ ", "passed": "✓ ", "failed": "✗ "}


def duration_in_words(duration: timedelta) -> str:
    """At most two units, cut off below the second one: `46 h 12 min`, `12 min 5 s`, `42 s`, `3.2 s`, `350 ms`."""
    if duration < timedelta():
        return f"-{duration_in_words(-duration)}"
    if duration >= HOUR:
        hours, rest = divmod(duration, HOUR)
        return _two(hours, "h", rest // MINUTE, "min")
    if duration >= MINUTE:
        minutes, rest = divmod(duration, MINUTE)
        return _two(minutes, "min", rest // timedelta(seconds=1), "s")
    seconds = duration.total_seconds()
    if seconds >= 10:  # noqa: PLR2004  (below ten seconds the tenths matter)
        return f"{int(seconds)} s"
    if seconds >= 1 or not duration:
        return f"{int(seconds * 10) / 10:g} s"
    return f"{seconds * 1000:.0f} ms"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def all_passed(stages: int) -> str:
    """`all 5 stages passed`."""
    return f"all {stages} stages passed" if stages > 1 else "its one stage passed"


def moment_in_words(moment: datetime) -> str:
    """In the zone the moment carries, to the second."""
    return f"{moment:%Y-%m-%d %H:%M:%S} {moment.tzname() or ''}".rstrip()


def standing_in_words(progress: RolloutProgress) -> str:
    """`soaking in canary`, `completed`: what the rollout does, and where."""
    words, stage = _STATUS[progress.status], progress.current
    if progress.status in _BEFORE_A_STAGE and stage.state in ("pending", "entering"):
        words = _BEFORE_A_STAGE[progress.status]
    return words if progress.status in _WITHOUT_A_STAGE else f"{words} {stage.name}"


def status_line(progress: RolloutProgress) -> str:
    """The whole rollout in one line."""
    parts = [f"{progress.plan}: {standing_in_words(progress)}"]
    if not progress.status.is_final:
        parts.append(f"stage {progress.stage + 1} of {len(progress.stages)}")
    parts.append(f"exposed to {who_sees(progress.exposed_to)}")
    if progress.current.soak_state is not None and not progress.status.is_final:
        parts.append(credit_in_words(progress.current))
    if progress.rollback is not None and progress.rollback.verified_at is not None:
        took = progress.rollback.verified_at - progress.rollback.began_at
        parts.append(f"verified in {duration_in_words(took)}")
    return ", ".join(parts)


def credit_in_words(stage: StageProgress) -> str:
    """`12 h of 48 h of soak credit`."""
    return f"{credit_of_soak(stage)} of soak credit"


def credit_of_soak(stage: StageProgress) -> str:
    """A watch after the last stage goes on counting; what the plan and people asked for is what is shown."""
    return f"{duration_in_words(min(stage.credit, stage.asked))} of {duration_in_words(stage.asked)}"


def off_in_words(progress: RolloutProgress, flag: str) -> str:
    """`websocket_isolation was turned off alone by gate websocket_events at 2026-11-23 14:32 (WebSocket events: …)`."""
    off = progress.switched_off[flag]
    return f"{flag} was turned off alone by gate {off.gate} at {time_of_day(off.at)} ({off.why})"


def switched_off_in_words(progress: RolloutProgress) -> list[str]:
    """A line for each flag that a gate turned off alone and that is off still; none once the rollout has ended."""
    if progress.status.is_final:
        return []
    flags = [flag for flag, shown in progress.flags.items() if flag in progress.switched_off and shown.order < 0]
    return [f"{off_in_words(progress, flag)}; {how_switched_on(progress, flag)}" for flag in flags]


def how_switched_on(progress: RolloutProgress, flag: str) -> str:
    """Which command lets a flag that a gate turned off rise again, as the end of a sentence."""
    stage = progress.exposed_stage or progress.current.name
    return (
        f"it stays off until `rollout update-stage --flag {flag} --stage {stage} --updated-by … --reason …` turns it "
        "on again"
    )


def how_decided(progress: RolloutProgress, flags: Sequence[str]) -> str:
    """What a person can do about flags that a gate turned off alone, while that holds the rollout."""
    stage = progress.exposed_stage or progress.current.name
    again = " and ".join(
        f"`rollout update-stage --flag {flag} --stage {stage} --updated-by … --reason …`" for flag in flags
    )
    return (
        f"a person decides: `rollout resolve-hold continue {progress.plan} --reason …` goes on without "
        f"{', '.join(flags)}; {again} turns it on again; or `rollout emergency-rollback {progress.plan} --reason …`"
    )


def stage_verdict(stage: StageProgress) -> str:
    """How a stage ended, or what its gates say now."""
    if stage.state in ("passed", "failed"):
        return stage.state
    if stage.state == "soaking" and stage.judgements:
        return worst(stage.judgements).value
    return NOTHING if stage.state == "pending" else stage.state


def steps_in_words(rollback: Rollback) -> str:
    """`flags off, latched and read back after 0.2 s; backend: traffic at its anchor and read back after 1.1 s`."""
    return "; ".join(f"{step.name} after {step.seconds:.1f} s" for step in rollback.steps)


def judgement_in_words(judgement: Judgement) -> str:
    """`error_rate FAIL +1.42 points (limit ≤ +1 point)`."""
    if judgement.value == NOTHING:
        return f"{judgement.gate} {judgement.verdict}"
    return f"{judgement.gate} {judgement.verdict} {judgement.value} (limit {judgement.limit})"


def worst_first(judgements: Iterable[Judgement]) -> list[Judgement]:
    return sorted(judgements, key=lambda judgement: (-_MATTERS[judgement.verdict], judgement.gate))


def judgements_in_a_line(soak: SoakState, target: timedelta, judgements: Sequence[Judgement]) -> str:
    """A look at a soak in one line: the credit, what stands in its way, and every gate's answer, worst first.

    Where a gate does not pass, its reason is told; passing gates are named with their values.
    """
    wanted = "" if target >= WITHOUT_END else f" of {duration_in_words(target)}"
    credit = f"{duration_in_words(soak.credit)}{wanted} credit"
    if not judgements:
        return f"{credit}, {soak.standing}: no interval is closed yet"
    told = [
        judgement_in_words(judgement)
        if judgement.verdict in UNTROUBLED
        else f"{judgement.gate} {judgement.verdict}: {judgement.reason}"
        for judgement in worst_first(judgements)
    ]
    return f"{credit}, {soak.standing} · {' · '.join(told)}"


def as_of(progress: RolloutProgress) -> datetime:
    """When the newest thing in the record happened or was measured."""
    moments = [progress.started_at]
    moments.extend(event.at for event in progress.timeline[-1:])
    moments.extend(judgement.as_of for judgement in progress.judged.judgements)
    return max(moments)


def current_details_markdown(progress: RolloutProgress) -> str:
    """The rollout as Markdown for the Temporal UI: where it stands and why, its stages, its gates, what comes next."""
    blocks = [f"### {_capital(standing_in_words(progress))}: exposed to {_inline(who_sees(progress.exposed_to))}"]
    if progress.why:
        blocks.append(_inline(progress.why))
    blocks.append(
        _table(
            ("stage", "exposed to", "soak credit", "verdict"),
            [
                (
                    f"{_STAGE_MARKS[stage.state]}{stage.name}",
                    stage.exposure,
                    credit_of_soak(stage),
                    stage_verdict(stage),
                )
                for stage in progress.stages
            ],
        )
    )
    if progress.judged.judgements:
        blocks.append(
            _table(
                (f"gate in {progress.judged.name}", "value", "limit", "verdict"),
                [
                    (judgement.gate, judgement.value, judgement.limit, judgement.verdict.value)
                    for judgement in worst_first(progress.judged.judgements)
                ],
            )
        )
    blocks.extend(f"**Off:** {_inline(line)}" for line in switched_off_in_words(progress))
    if progress.traffic:
        splits = "; ".join(f"{service} {split.in_words()}" for service, split in sorted(progress.traffic.items()))
        blocks.append(f"**Traffic:** {_inline(splits)}")
    if (rollback := progress.rollback) is not None:
        done = steps_in_words(rollback) or "nothing is read back yet"
        blocks.append(f"**Rollback**, by {_inline(rollback.by)}: {_inline(done)}")
    if progress.next:
        blocks.append(f"**Next:** {_inline(progress.next)}")
    newer = f"*Pending Activities* and `rollout status {progress.plan}` have newer numbers"
    blocks.append(f"As of {moment_in_words(as_of(progress))}{'' if progress.status.is_final else f'; {newer}'}.")
    return "\n\n".join(blocks)


def plan_details_markdown(plan: RolloutPlan, images: Mapping[str, str]) -> str:
    """What a rollout is going to do, as Markdown for the Temporal UI."""
    blocks = [
        _inline(plan.description),
        _table(("service", "where", "image"), [_service_row(plan, key, image) for key, image in images.items()]),
        _table(
            ("stage", "exposed to", "traffic", "soak", "gates"),
            [
                (
                    stage.name,
                    in_words(stage.exposure),
                    " → ".join(f"{percent}{_NO_BREAK}%" for percent in stage.percents) or "as before",
                    duration_in_words(stage.soak),
                    ", ".join(stage.gates),
                )
                for stage in plan.stages
            ],
        ),
        f"Flags: {', '.join(plan.flags) or 'none'}. Environment: {plan.environment}.",
    ]
    return "\n\n".join(blocks)


def _service_row(plan: RolloutPlan, key: str, image: str) -> tuple[str, str, str]:
    spec = plan.services[key]
    return key, f"{spec.project} / {spec.region} / {spec.service}", image


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _inline(text: str) -> str:
    """Text that stays text: one line, and no HTML, whatever a reason or an image name holds."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split()))


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The Temporal UI gives columns no room between them: every cell but a row's last brings its own."""
    lines = [_row(heading), f"|{'|'.join([':--'] * len(heading))}|", *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    *before, last = (_inline(cell).replace("|", r"\|") for cell in cells)
    return f"| {''.join(f'{cell}{_GAP} | ' for cell in before)}{last} |"
