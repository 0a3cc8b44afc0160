"""Healthy measurements of a plan's whole time, written down as `rollout what-if` reads them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from rollout.exposure import treated_share
from rollout.plan import RolloutPlan
from rollout.recorded_lines import written
from rollout.recorded_metrics import Recorded, Recording
from starter.what_if_queries import queries_of
from tests.workflows.traffic_source import INGEST_DELAY, TrafficSource
from tests.workflows.world import INTERNAL_SHARE

STARTS = datetime(2026, 11, 24, tzinfo=UTC)
BETWEEN_STAGES = timedelta(minutes=8)
"""A little more than a stage takes beside its soak: users who come late are waited for, early ones would hold it."""
AFTERWARDS = timedelta(hours=1)


async def write_week(plan: RolloutPlan, path: Path) -> None:
    """From what the plan's baseline needs until after its last stage; the share of treated users follows the stages."""
    recording = Recording(delays=dict.fromkeys(queries_of(plan), INGEST_DELAY))
    since, share = STARTS - plan.baseline.window - INGEST_DELAY - plan.check_interval, 0.0

    async def share_now() -> float:
        return share

    source, until = TrafficSource(share_now), STARTS
    for stage in (None, *plan.stages):
        if stage is not None:
            shown = treated_share(stage.exposure, plan.flags)
            share = max(INTERNAL_SHARE, shown) if shown > 0 else 0.0
            until += stage.soak + BETWEEN_STAGES + (AFTERWARDS if stage is plan.stages[-1] else timedelta())
        for name, query in queries_of(plan).items():
            measured = await source.measure(query, start=since, end=until, interval=plan.check_interval)
            recording.intervals.setdefault(name, []).extend(map(Recorded, measured))
        since = until
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in written(recording))
