"""What is given to `rollout what-if`, read and checked."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.garbage_collection import keep_for_good, nothing_collected
from rollout.measurement import GroupsByRevision
from rollout.plan import RolloutPlan
from rollout.quantity import format_duration
from rollout.recorded_lines import EARLIEST, LATEST, read_recording, written
from rollout.recorded_metrics import Recording
from starter.outcome import refused
from starter.text_lines import lines_of


def moment(option: str, given: str | None) -> datetime | None:
    """A time as people write it; without an offset it is UTC.

    Raises:
        CommandEnds: it is no time.
    """
    if given is None:
        return None
    try:
        read = datetime.fromisoformat(given)
    except ValueError:
        raise refused(f"{option} {given!r}: a time such as 2026-11-24T12:00:00Z") from None
    zoned = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    if not EARLIEST <= zoned < LATEST:
        raise refused(f"{option} {given!r}: a time from {EARLIEST.year} on and before {LATEST.year}")
    return zoned.astimezone(UTC)


def recording_from(path: Path, plan: RolloutPlan, asked: Iterable[str]) -> Recording:
    """Raises CommandEnds where the file cannot be read, or a line is wrong."""
    try:
        # A week of metrics is a million objects that all stay: looking through them again and again is most of reading.
        with nothing_collected():
            recording = read_recording(lines_of(path, encoding="utf-8"), {*plan.metrics, *asked}, plan.check_interval)
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


def revisions_of(plan: RolloutPlan, given: Sequence[str]) -> dict[str, tuple[str, str]]:
    """`backend=TREATED/CONTROL`, once for each service whose revisions the plan compares.

    Raises:
        CommandEnds: one is malformed, or for a service whose revisions nothing compares.
    """
    groups = [metric.groups for metric in plan.metrics.values()]
    known = sorted({group.service for group in groups if isinstance(group, GroupsByRevision)})
    found: dict[str, tuple[str, str]] = {}
    for text in given:
        service, _, revisions = text.partition("=")
        treated, _, control = revisions.partition("/")
        if not (service and treated and control) or service in found:
            raise refused(f"--revisions {text!r}: SERVICE=TREATED/CONTROL with two revisions' names, once per service")
        if service not in known:
            compared = ", ".join(known) or "none"
            raise refused(f"--revisions {text!r}: services whose revisions this plan compares: {compared}")
        found[service] = (treated, control)
    return found


def first_start(plan: RolloutPlan, recording: Recording, needed: timedelta) -> datetime:
    """As early as the recording allows, with `needed` of it for the baseline.

    Raises:
        CommandEnds: it is too short for that.
    """
    ends = recording.ends
    begins = min(ends) - plan.check_interval + needed + (max(recording.delays.values()) if needed else timedelta())
    if begins >= max(ends):
        raise refused(
            f"the data reach from {min(ends):%Y-%m-%d %H:%M} to {max(ends):%Y-%m-%d %H:%M}, and the plan's baseline "
            f"alone needs {format_duration(needed)} before the start; give more, or say with --from when it starts"
        )
    return begins


def known_until(recording: Recording, end: datetime | None) -> Recording:
    """Without the intervals that end later."""
    if end is None:
        return recording
    kept = {name: [row for row in rows if row.measured.end <= end] for name, rows in recording.intervals.items()}
    return Recording(kept, recording.delays)
