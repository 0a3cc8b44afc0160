"""A load test for a person: a table that is redrawn in a terminal, a line now and then elsewhere."""

import time
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rollout.counting import counted
from rollout.load_test import Breach, LoadReport, LoadTest, in_a_line, milliseconds
from rollout.quantity import format_duration
from starter.terminal import say

USERS_SHOWN = 20
ERRORS_SHOWN = 5
BAR_WIDTH = 40
TELL_EVERY_SECONDS = 10.0
BUSY_CPU_PERCENT = 90.0


class LoadScreen:
    """Redraws the figures in place; the result is printed by whoever shows it last."""

    def __init__(self, console: Console, test: LoadTest) -> None:
        self._live = Live(Text("starting …"), console=console, auto_refresh=False, transient=True)
        self._test = test

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, report: LoadReport) -> None:
        self._live.update(Group(_progress(self._test, report), result_view(self._test, report)), refresh=True)


class LoadLines:
    """Where there is no terminal: the first figures, and then a line every ten seconds."""

    def __init__(self, test: LoadTest) -> None:
        self._test = test
        self._told_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, report: LoadReport) -> None:
        if not report.final and time.monotonic() - self._told_at >= TELL_EVERY_SECONDS:
            self._told_at = time.monotonic()
            say(in_a_line(self._test, report))


class NothingShown:
    """For programs, which read the result."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, report: LoadReport) -> None:
        """Nothing."""


def result_view(test: LoadTest, report: LoadReport) -> RenderableType:
    """Everything that was met, worst first where there is an order."""
    parts: list[RenderableType] = [_requests(report)]
    if report.errors:
        parts.append(_errors(report))
    if test.mixed_traffic:
        style = "red" if report.events_lost > test.max_lost_events else ""
        parts.append(Text(f"events: {report.events} received, {report.events_lost} lost", style))
    if test.monitor_isolation:
        parts.append(_isolation(report))
    if report.busiest_cpu_percent > BUSY_CPU_PERCENT:
        busy = f"the load itself took {report.busiest_cpu_percent:.0f} % of a core: times may be longer than they were"
        parts.append(Text(busy, "yellow"))
    return Group(*parts)


def _progress(test: LoadTest, report: LoadReport) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    lasts = test.duration.total_seconds()
    row.add_row(
        ProgressBar(total=lasts, completed=min(lasts, report.elapsed_seconds), width=BAR_WIDTH),
        f"{report.elapsed_seconds:.0f}s of {format_duration(test.duration)}, {counted(report.users, 'user')}",
    )
    return row


def _requests(report: LoadReport) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for title in ("requests", "per second", "errors", "p50", "p95", "p99"):
        table.add_column(title, justify="right")
    for kind in report.kinds:
        share = kind.failures / kind.requests if kind.requests else 0.0
        table.add_row(
            Text(kind.name),
            str(kind.requests),
            f"{report.throughput(kind):.1f}",
            Text(f"{kind.failures} ({share:.2%})", "red" if kind.failures else ""),
            *map(milliseconds, (kind.p50_ms, kind.p95_ms, kind.p99_ms)),
        )
    return table


def _errors(report: LoadReport) -> Text:
    shown = list(report.errors.items())[:ERRORS_SHOWN]
    lines = [f"{times} × {text}" for text, times in shown]
    if len(report.errors) > ERRORS_SHOWN:
        lines.append(f"and {counted(len(report.errors) - ERRORS_SHOWN, 'other error')}")
    return Text("\n".join(lines), "red")


def _isolation(report: LoadReport) -> RenderableType:
    unsaid = f", {report.unsaid} did not say whose data was carried" if report.unsaid else ""
    heading = (
        f"isolation: {counted(report.checked, 'answer')} checked{unsaid}, {counted(report.violations, 'violation')}"
    )
    style = "bold red" if report.violations else "yellow" if report.unsaid or not report.checked else ""
    if not report.breaches:
        return Text(heading, style)
    table = Table("user", "served another's data", "the first time", "at", box=None, pad_edge=False)
    for breach in report.breaches[:USERS_SHOWN]:
        table.add_row(*_cells(breach))
    parts: list[RenderableType] = [Text(heading, style), table]
    if report.users_breached > USERS_SHOWN:
        parts.append(Text(f"and {counted(report.users_breached - USERS_SHOWN, 'more user')}"))
    return Group(*parts)


def _cells(breach: Breach) -> tuple[Text, ...]:
    times = "once" if breach.times == 1 else f"{breach.times} times"
    return tuple(Text(cell) for cell in (breach.user, times, f"{breach.data_of}'s", breach.url))
