"""Following a rollout until it ends: a live screen on a terminal, lines everywhere else."""

import asyncio
import time
from datetime import timedelta
from typing import Self

from rich.console import Console
from rich.live import Live

from rollout.progress import Event, RolloutProgress, RolloutStatus
from rollout.wording import as_of, judgements_in_a_line, standing_in_words, status_line
from starter.outcome import CommandEnds, ExitCode
from starter.rollouts import Observation, Rollouts, newest
from starter.terminal import warn
from starter.views import event_line, rollout_view

LOOK_EVERY = timedelta(seconds=1)
TELL_EVERY = timedelta(seconds=10)
"""How long the lines may be silent while nothing but numbers changes."""


async def follow(
    rollouts: Rollouts, workflow_id: str, console: Console, link: str | None, *, until_passed: bool = False
) -> ExitCode:
    """Show the rollout until it ends. DONE when it completed, FAILED when it was rolled back, refused or broke."""
    screen = Screen(console, link) if console.is_terminal else Lines(console)
    observation: Observation | None = None
    with screen:
        while True:
            observation = await _look(rollouts, workflow_id, observation)
            if observation is not None:
                screen.show(observation)
                if _has_ended(observation, until_passed=until_passed):
                    return _ending(observation)
            await asyncio.sleep(LOOK_EVERY.total_seconds())


async def _look(rollouts: Rollouts, workflow_id: str, known: Observation | None) -> Observation | None:
    try:
        return await rollouts.observe(workflow_id, known)
    except CommandEnds as ends:
        if ends.code is ExitCode.REFUSED:
            raise
        # A server that restarts is no reason to stop watching.
        warn(f"{ends.text}; looking again")
        return known


def _has_ended(observation: Observation, *, until_passed: bool) -> bool:
    progress = observation.progress
    if progress is not None and progress.status is RolloutStatus.WATCHING:
        return until_passed
    return not observation.is_open or (progress is not None and progress.status.is_final)


def _ending(observation: Observation) -> ExitCode:
    progress = observation.progress
    completed = progress is not None and progress.status in (RolloutStatus.COMPLETED, RolloutStatus.WATCHING)
    return ExitCode.DONE if completed else ExitCode.FAILED


class Screen:
    """Redraws the whole view in place."""

    def __init__(self, console: Console, link: str | None) -> None:
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="visible")
        self._link = link

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, observation: Observation) -> None:
        self._live.update(rollout_view(observation, self._link), refresh=True)


class Lines:
    """Writes what happened since the last look, where it stands when that changes, and now and then the numbers."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_told: Event | None = None
        self._standing = ""
        self._numbers_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, observation: Observation) -> None:
        progress = newest(observation)
        if progress is None:
            self._stands(observation.silence, f"{observation.workflow_id}: {observation.silence}")
            return
        for event in self._untold(progress.timeline):
            self._console.print(event_line(event, as_of(progress)), soft_wrap=True)
            self._last_told = event
        changed = self._stands(standing_in_words(progress), status_line(progress))
        if not changed and time.monotonic() - self._numbers_at >= TELL_EVERY.total_seconds():
            self._numbers(progress)

    def _untold(self, timeline: list[Event]) -> list[Event]:
        # A long timeline drops its oldest events, so that positions move; the last told event is found from the end.
        for position in range(len(timeline) - 1, -1, -1):
            if timeline[position] == self._last_told:
                return timeline[position + 1 :]
        return timeline

    def _stands(self, standing: str, line: str) -> bool:
        if standing == self._standing:
            return False
        self._standing = standing
        self._write(line)
        return True

    def _numbers(self, progress: RolloutProgress) -> None:
        current = progress.current
        if current.soak_state is not None and not progress.status.is_final:
            numbers = judgements_in_a_line(current.soak_state, current.asked, current.judgements)
            self._write(f"{current.name}: {numbers}")

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)
        self._numbers_at = time.monotonic()
