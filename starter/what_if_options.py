"""Times and revisions that are given to `rollout what-if`, read and checked."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rollout.measurement import GroupsByRevision
from rollout.plan import RolloutPlan
from rollout.recorded_lines import EARLIEST, LATEST
from starter.outcome import refused


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


def span(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """When the rollout starts and up to when data are taken, where they are given.

    Raises:
        CommandEnds: one of them is no time, or nothing lies between them.
    """
    start, end = moment("--from", since), moment("--to", until)
    if start is not None and end is not None and end <= start:
        raise refused(f"--to: later than --from ({start}), got {end}")
    return start, end


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
