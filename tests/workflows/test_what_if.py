"""A rehearsal on what a rollout measured decides what the rollout decided: same stage, gate, interval and credit."""

from collections import defaultdict
from datetime import datetime
from pathlib import Path

from rollout.measurement import Counts, Group, IntervalMeasurement, Sample
from rollout.progress import RolloutStatus
from rollout.recorded_metrics import Recorded, Recording
from starter.what_if import Rehearsal
from tests.workflows.traffic_source import INGEST_DELAY
from tests.workflows.world import laid_out

NAMES = {"request_count": "requests", "request_latencies": "latency", "utilizations": "cpu"}
AFTER_ENTERING = 40
"""Minutes of healthy measurements before the candidate fails."""


async def test_a_rehearsal_rolls_back_where_the_workflow_did(tmp_path: Path) -> None:
    seen: dict[str, dict[datetime, dict[Group, Sample]]] = defaultdict(lambda: defaultdict(dict))
    treated_ends: list[datetime] = []

    def failing_and_written_down(metric: str, group: Group, end: datetime, healthy: Sample) -> Sample:
        if group == "treated" and end not in treated_ends:
            treated_ends.append(end)
        measured = healthy
        if group == "treated" and len(treated_ends) > AFTER_ENTERING and isinstance(healthy, Counts):
            measured = Counts(total=healthy.total, bad=healthy.total // 40)
        return seen[NAMES[metric.rpartition("/")[2]]][end].setdefault(group, measured)

    async with laid_out("traffic-canary.yaml", tmp_path) as world:
        world.source.fault = failing_and_written_down
        handle = await world.start()
        result = await handle.result()
        plan = world.plan

    assert result.status is RolloutStatus.ROLLED_BACK
    real = result.stages[0]
    assert real.entered_at is not None
    assert real.soak_state is not None
    recording = Recording(
        {
            name: [Recorded(IntervalMeasurement(end=end, groups=ends[end])) for end in sorted(ends)]
            for name, ends in seen.items()
        },
        dict.fromkeys(plan.metrics, INGEST_DELAY),
    )
    found = await Rehearsal(plan, recording, real.entered_at).play()

    (back,) = [event for event in found.timeline if event.kind == "rollback"]
    assert found.outcome == "rolled_back"
    assert (back.stage, back.gate, back.interval) == (
        real.name,
        ", ".join(real.soak_state.causes),
        real.soak_state.judged_until,
    )
    assert found.stages[0].credit == real.credit
    assert any(judgement.reason in found.why for judgement in real.judgements)
