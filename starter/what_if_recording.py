"""The metrics that `rollout what-if` plays: from a file, or of a past time that Cloud Monitoring still knows."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from config.garbage_collection import keep_for_good, nothing_collected
from config.settings import Settings
from rollout.binding import baseline_queries
from rollout.measurement import TimeSeriesQuery
from rollout.plan import RolloutPlan
from rollout.quantity import format_duration
from rollout.recorded_lines import read_recording, written
from rollout.recorded_metrics import Recording
from rollout.soak import align_down
from starter.outcome import refused
from starter.past_metrics import fetched, usual_delays
from starter.text_lines import lines_of
from starter.what_if_queries import AT


def of_cloud_monitoring(
    plan: RolloutPlan,
    queries: Mapping[str, TimeSeriesQuery],
    start: datetime | None,
    end: datetime | None,
    revisions: Mapping[str, tuple[str, str]],
) -> Recording:
    """What a rollout that began at `start` would have asked for, up to `end`.

    Raises:
        CommandEnds: one of both is not given; Cloud Monitoring cannot be asked.
    """
    if start is None or end is None:
        raise refused("give --data FILE, or both --from and --to to ask Cloud Monitoring")
    before = _needed_before(plan) + max(usual_delays(queries).values(), default=timedelta()) + plan.check_interval
    since, until = align_down(start - before, plan.check_interval), align_down(end, plan.check_interval)
    settings = Settings.from_environment()
    return asyncio.run(fetched(plan, queries, settings, since=since, until=until, revisions=revisions))


def of_file(path: Path, plan: RolloutPlan, queries: Mapping[str, TimeSeriesQuery]) -> Recording:
    """What the file holds; metrics whose delays it does not say have those that are usual.

    Raises:
        CommandEnds: the file cannot be read, or a line is wrong.
    """
    recording = _read(path, plan, queries)
    recording.delays = usual_delays(queries) | recording.delays
    return recording


def _read(path: Path, plan: RolloutPlan, asked: Iterable[str]) -> Recording:
    try:
        # A week of metrics is a million objects that all stay: looking through them again and again is most of reading.
        with nothing_collected():
            recording = read_recording(lines_of(path), {*plan.metrics, *asked}, plan.check_interval)
            keep_for_good()
    except OSError as problem:
        raise refused(f"{path}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise refused(f"{path}: not UTF-8 text") from problem
    except ValueError as problem:
        raise refused(f"{path}: {problem}") from None
    if not recording.ends:
        raise refused(f"{path}: holds no interval")
    return recording


def save_to(path: Path, recording: Recording) -> None:
    """Raises CommandEnds where the file cannot be written."""
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in written(recording))
    except OSError as problem:
        raise refused(f"--save {path}: {problem.strerror}") from problem


def without_data(recording: Recording, names: Iterable[str]) -> Iterator[str]:
    """The metrics of these names of which nothing is recorded, at any percentage of a cohort."""
    for name in names:
        if not recording.intervals.get(name) and not recording.intervals.get(name.partition(AT)[0]):
            yield name


def first_start(plan: RolloutPlan, recording: Recording) -> datetime:
    """As early as the recording allows, with as much of it before that as the plan's baseline needs.

    Raises:
        CommandEnds: it is too short for that.
    """
    ends, needed = recording.ends, _needed_before(plan)
    begins = min(ends) - plan.check_interval + needed + (max(recording.delays.values()) if needed else timedelta())
    if begins >= max(ends):
        raise refused(
            f"the data reach from {min(ends):%Y-%m-%d %H:%M} to {max(ends):%Y-%m-%d %H:%M}, and the plan's baseline "
            f"alone needs {format_duration(needed)} before the start; give more, or say with --from when it starts"
        )
    return begins


def _needed_before(plan: RolloutPlan) -> timedelta:
    """How much of the past the baseline takes."""
    return plan.baseline.window if baseline_queries(plan) else timedelta()


def known_until(recording: Recording, end: datetime | None) -> Recording:
    """Without the intervals that end later."""
    if end is None:
        return recording
    kept = {name: [row for row in rows if row.measured.end <= end] for name, rows in recording.intervals.items()}
    return Recording(kept, recording.delays)
