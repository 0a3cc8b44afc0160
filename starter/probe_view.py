"""A probe's findings as a table for a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from starter.probe_report import Report, State

_STYLES = {State.SETTLED: "green", State.REPORTED: "green", State.OPEN: "bold yellow", State.NOT_ASKED: "dim"}


def probe_view(report: Report) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for column in ("POINT", "STATE", "FOUND"):
        table.add_column(column, overflow="fold")
    for point in report.points:
        found = Text(point.found)
        for line in point.seen:
            found.append(f"\n{line}", style="dim")
        table.add_row(point.name.value, Text(point.state.value, style=_STYLES[point.state]), found)
    return Group(table, Text(""), *(Text(line) for line in _sentences(report)))


def _sentences(report: Report) -> list[str]:
    lines = [report.cleanup.text]
    if report.stopped:
        lines.append(f"Stopped early: {report.stopped}.")
    if report.profile.sandbox_arguments:
        lines.append(f"A sandbox that behaves so: {report.sandbox_command}")
    if report.open_points:
        lines.append(f"Still open: {', '.join(point.name.value for point in report.open_points)}.")
    return lines
