"""Rollouts and plans as tables for a terminal. Words come from `rollout.wording`; here is only their arrangement."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rollout.counting import counted
from rollout.exposure import in_words, who_sees
from rollout.gate_trial import GateFinding
from rollout.moments import time_of_day
from rollout.plan import RolloutPlan
from rollout.power_card import TIMES_THE_LIMIT, Forecast
from rollout.progress import Event, RolloutProgress, RolloutStatus, StageProgress
from rollout.quantity import format_duration
from rollout.verdict import Verdict
from rollout.wording import (
    as_of,
    credit_of_soak,
    duration_in_words,
    moment_in_words,
    stage_verdict,
    standing_in_words,
    switched_off_in_words,
    worst_first,
)
from starter.rollouts import Observation, name_of, newest, none_runs

BAR_WIDTH = 20
TIMELINE_TAIL = 6

_STATUS_STYLES = {
    RolloutStatus.SOAKING: "cyan",
    RolloutStatus.AWAITING_WINDOW: "yellow",
    RolloutStatus.AWAITING_APPROVAL: "yellow",
    RolloutStatus.HOLDING: "yellow",
    RolloutStatus.PAUSED: "yellow",
    RolloutStatus.WATCHING: "green",
    RolloutStatus.ROLLING_BACK: "bold red",
    RolloutStatus.ROLLED_BACK: "red",
    RolloutStatus.COMPLETED: "bold green",
    RolloutStatus.REFUSED: "red",
}
_VERDICT_STYLES = {
    Verdict.PASS.value: "green",
    "passed": "green",
    Verdict.IDLE.value: "dim",
    Verdict.UNKNOWN.value: "yellow",
    Verdict.SUSPECT.value: "yellow",
    Verdict.ERROR.value: "red",
    Verdict.FAIL.value: "bold red",
    "failed": "bold red",
}
_EVENT_STYLES = {"rollback": "red", "failure": "red", "hold": "yellow", "gate": "yellow", "command": "cyan"}


def rollout_view(observation: Observation, link: str | None, *, left_behind: bool = False) -> RenderableType:
    """Everything a person wants to see of one rollout; `left_behind` by an earlier one of its name is said first."""
    progress = newest(observation)
    warning = [_abandoned(observation)] if observation.is_abandoned or left_behind else []
    if progress is None:
        return Group(*_spaced([*warning, _without_a_worker(observation, link)]))
    parts: list[RenderableType] = [*warning, _heading(progress, link), _stages(progress)]
    if progress.judged.judgements:
        parts.append(_gates(progress.judged))
    if progress.traffic:
        parts.append(_traffic(progress))
    if progress.rollback is not None:
        parts.append(_rollback(progress))
    parts.append(_timeline(progress))
    if retried := _retried(observation):
        parts.append(retried)
    if observation.silence:
        parts.append(Text(observation.silence, "yellow"))
    return Group(*_spaced(parts))


def event_line(event: Event, read_at: datetime) -> Text:
    """One line of the timeline."""
    by = f" ({event.by})" if event.by and f" by {event.by}" not in event.text else ""
    at = time_of_day(event.at, read_at, seconds=True)
    return Text(f"{at} {event.kind:<8} {event.text}{by}", _EVENT_STYLES.get(event.kind, ""))


def plan_view(plan: RolloutPlan) -> RenderableType:
    """A plan as one reads it before starting it."""
    services = ", ".join(f"{key} ({spec.project}/{spec.region}/{spec.service})" for key, spec in plan.services.items())
    heading = Text.assemble((plan.name, "bold"), f": {plan.description}\n", f"environment  {plan.environment}\n")
    heading.append(f"services     {services}\n")
    heading.append(f"flags        {', '.join(plan.flags) or 'none: the traffic split carries the exposure'}\n")
    heading.append(
        f"soak         {duration_in_words(plan.soak)} over {counted(len(plan.stages), 'stage')}, "
        f"looked at every {duration_in_words(plan.check_interval)}"
    )
    stages = Table("stage", "exposed to", "traffic", "soak", "gates", "needs", box=None, pad_edge=False)
    for stage in plan.stages:
        traffic = " → ".join(f"{percent} %" for percent in stage.percents)
        needs = "approval" if stage.needs_approval else ""
        stages.add_row(
            stage.name, in_words(stage.exposure), traffic, format_duration(stage.soak), str(len(stage.gates)), needs
        )
    gates = Table("gate", "question", "limit", "window", "on failure", "in stages", box=None, pad_edge=False)
    for name, gate in plan.gates.items():
        window = format_duration(gate.window) if hasattr(gate, "window") else ""
        used = ", ".join(stage.name for stage in plan.stages if name in stage.gates)
        gates.add_row(name, gate.title, gate.limit_in_words, window, gate.reaction_in_words, used)
    statements = [statement for stage in plan.stages for statement in stage.statements]
    parts: list[RenderableType] = [heading, stages, gates]
    if statements:
        parts.append(Text("\n".join(["An approval confirms:", *(f"  - {statement}" for statement in statements)])))
    return Group(*_spaced(parts))


def gate_findings_view(findings: Iterable[GateFinding]) -> RenderableType:
    """What a check of a plan found out, gate by gate."""
    table = Table("", "gate", "on failure", "data now", "on a plain breach", box=None, pad_edge=False)
    for found in findings:
        style = {"ok": "green", "warn": "yellow", "bad": "bold red"}[found.level]
        table.add_row(
            Text(found.level, style), found.gate, found.reaction or found.action, Text(found.data), Text(found.breach)
        )
    return table


def power_view(found: Iterable[Forecast]) -> RenderableType:
    """How soon each gate finds a regression, stage by stage; in red where that is too late for the stage's soak."""
    heads = [f"{times:g} times the limit" for times in TIMES_THE_LIMIT]
    table = Table("stage", "soak", "gate", "on failure", "treated", *heads, box=None, pad_edge=False)
    stage = ""
    for one in found:
        first = one.stage != stage
        stage = one.stage
        late = [each.after is None or each.after > one.soak for each in one.findings]
        cells = [
            Text(f"{each.regression}: {_when(each.after)}", "red" if missed else "green")
            for each, missed in zip(one.findings, late, strict=True)
        ]
        soak = duration_in_words(one.soak)
        table.add_row(
            one.stage if first else "",
            soak if first else "",
            one.gate,
            Text(one.action, "bold red" if one.is_blind else ""),
            f"{one.treated_per_minute:,.0f}/min",
            *cells,
        )
    return table


def _when(after: timedelta | None) -> str:
    return "never" if after is None else duration_in_words(after)


def _spaced(parts: Iterable[RenderableType]) -> list[RenderableType]:
    return [piece for part in parts for piece in (part, Text())][:-1]


def _abandoned(observation: Observation) -> Text:
    name = name_of(observation.workflow_id)
    ended = observation.execution.replace("_", " ")
    # The newest workflow of the name may be a start that was refused because of the one that was terminated.
    who = f"The workflow of {name} is {ended}" if observation.is_abandoned else none_runs(name)
    return Text(
        f"{who}: nobody watches what it may still expose. `rollout doctor` tells what it owns, "
        f"`rollout emergency-rollback {name} --reason …` takes it back.",
        "bold red",
    )


def _heading(progress: RolloutProgress, link: str | None) -> Text:
    style = _STATUS_STYLES.get(progress.status, "")
    text = Text.assemble((progress.plan, "bold"), ": ", (standing_in_words(progress), style))
    text.append(f", exposed to {who_sees(progress.exposed_to)}\n")
    lines = [("why", progress.why), ("next", progress.next)]
    lines.extend(("off", line) for line in switched_off_in_words(progress))
    lines.extend([("images", _images(progress)), ("ui", link or "")])
    lines.append(("started", f"{moment_in_words(progress.started_at)} by {progress.started_by}"))
    lines.append(("as of", moment_in_words(as_of(progress))))
    text.append("\n".join(f"{name:<8} {value}" for name, value in lines if value))
    return text


def _images(progress: RolloutProgress) -> str:
    return ", ".join(f"{service}={image}" for service, image in progress.images.items())


def _stages(progress: RolloutProgress) -> Table:
    table = Table("stage", "exposed to", "soak credit", "", "verdict", box=None, pad_edge=False)
    for stage in progress.stages:
        done = stage.credit / stage.asked if stage.asked else 0.0
        verdict = stage_verdict(stage)
        table.add_row(
            Text(stage.name, "bold" if stage is progress.current else ""),
            stage.exposure,
            ProgressBar(total=1.0, completed=min(done, 1.0), width=BAR_WIDTH),
            credit_of_soak(stage),
            Text(verdict, _VERDICT_STYLES.get(verdict, "")),
        )
    return table


def _gates(stage: StageProgress) -> Table:
    table = Table(f"gate in {stage.name}", "value", "limit", "sample", "verdict", box=None, pad_edge=False)
    for judgement in worst_first(stage.judgements):
        table.add_row(
            judgement.gate,
            judgement.value,
            judgement.limit,
            f"{judgement.sample:,}" if judgement.sample else "",
            Text(judgement.verdict.value, _VERDICT_STYLES[judgement.verdict.value]),
        )
    return table


def _traffic(progress: RolloutProgress) -> Text:
    return Text("\n".join(f"traffic  {key}: {split.in_words()}" for key, split in sorted(progress.traffic.items())))


def _rollback(progress: RolloutProgress) -> Text:
    rollback = progress.rollback
    assert rollback is not None, "asked for only where there is one"  # noqa: S101
    lines = [f"rollback because of {rollback.cause}, by {rollback.by}: {rollback.reason}"]
    if rollback.detected_after is not None:
        lines.append(f"  {rollback.detected_after:6.1f} s from the breaching interval to the decision")
    lines.extend(f"  {step.seconds:6.1f} s {step.name}" for step in rollback.steps)
    if rollback.seconds is not None:
        lines.append(f"  {rollback.seconds:6.1f} s until everything was read back as safe")
    return Text("\n".join(lines), "red")


def _timeline(progress: RolloutProgress) -> RenderableType:
    return Group(*(event_line(event, as_of(progress)) for event in progress.timeline[-TIMELINE_TAIL:]))


def _retried(observation: Observation) -> Text | None:
    calls = [call for call in observation.pending if call.last_failure]
    if not calls:
        return None
    lines = [f"tried again: {call.activity}, attempt {call.attempt}: {call.last_failure}" for call in calls]
    return Text("\n".join(lines), "yellow")


def _without_a_worker(observation: Observation, link: str | None) -> RenderableType:
    lines = [
        f"{observation.workflow_id}: {observation.execution}, since {moment_in_words(observation.started_at)}",
        observation.silence,
    ]
    lines.extend(f"ui       {found}" for found in (link,) if found)
    parts = [Text("\n".join(lines), "yellow"), _retried(observation)]
    return Group(*(part for part in parts if part is not None))
