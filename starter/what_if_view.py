"""A rehearsal as a person reads it: how it comes out, stage by stage, what was decided when, what was not played."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rollout.verdict import Verdict
from rollout.what_if import Happened, Held, Outcome, WhatIf
from rollout.wording import duration_in_words, moment_in_words

_HEADINGS: dict[Outcome, tuple[str, str]] = {
    "completed": ("would have completed", "bold green"),
    "rolled_back": ("would have been rolled back", "bold red"),
    "stepped_back": ("would have been led one stage down", "bold red"),
    "unfinished": ("would not have been finished", "bold yellow"),
    "refused": ("would have been refused", "bold red"),
}
_STYLES = {"rollback": "red", "hold": "yellow", "flags": "yellow", "gate": "", "window": "yellow"}
_GOES_ON = (Verdict.PASS.value, Verdict.IDLE.value)
EVENTS_SHOWN = 60
"""Of a longer timeline the beginning and the end are shown; --json has all."""


def what_if_view(found: WhatIf) -> RenderableType:
    words, style = _HEADINGS[found.outcome]
    took = duration_in_words(found.ended_at - found.started_at)
    heading = Text.assemble((f"{found.plan} {words}", style), f" at {moment_in_words(found.ended_at)}, after {took}: ")
    heading.append(found.why)
    parts: list[RenderableType] = [heading, Text(), _stages(found), Text(), _timeline(found), Text()]
    parts.append(Text("\n".join(["Not played:", *(f"  - {each}" for each in found.not_played)])))
    return Group(*parts)


def _stages(found: WhatIf) -> Table:
    table = Table("stage", "entered", "credit", "held", "passed", box=None, pad_edge=False)
    for stage in found.stages:
        credit = f"{duration_in_words(stage.credit)} of {duration_in_words(stage.soak)}"
        held = "\n".join(_held(one, found.ended_at) for one in stage.held)
        passed = _when(stage.passed_at) if stage.passed_at is not None else "–"
        table.add_row(stage.name, _when(stage.entered_at), credit, held or "–", passed)
    return table


def _held(held: Held, ended_at: datetime) -> str:
    until = f"to {_when(held.until)}" if held.until is not None else "to the end"
    lasted = duration_in_words((held.until or ended_at) - held.since)
    return f"{_when(held.since)} {until} ({lasted}): {', '.join(held.causes)}"


def _timeline(found: WhatIf) -> Table:
    table = Table("time", "stage", "", "what", box=None, pad_edge=False)
    events = found.timeline
    half = EVENTS_SHOWN // 2
    left_out = len(events) - EVENTS_SHOWN
    shown = events if left_out <= 0 else events[:half]
    for event in shown:
        _add(table, event)
    if left_out > 0:
        table.add_row("…", "", "", f"{left_out} more; --json has them all")
        for event in events[-half:]:
            _add(table, event)
    return table


def _add(table: Table, event: Happened) -> None:
    text = f"{event.gate}: {event.text}" if event.gate else event.text
    if event.reason and event.verdict not in _GOES_ON:
        text += f": {event.reason}"
    table.add_row(_when(event.at), event.stage, Text(event.kind, _STYLES.get(event.kind, "")), Text(text))


def _when(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M:%S}"
