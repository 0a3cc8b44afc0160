"""A rollout's record in the middle of its canary stage, for tests that look at what is made of it."""

from datetime import UTC, datetime, timedelta

from rollout.flags import Exposure
from rollout.progress import Event, RolloutProgress, RolloutStatus, StageProgress
from rollout.soak import SoakState
from rollout.traffic import TrafficSplit
from rollout.verdict import Judgement, Lack, Verdict

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def soak(credit: timedelta, *, until: datetime = NOON) -> SoakState:
    return SoakState(interval=MINUTE, since=until - credit, judged_until=until, credit=credit, standing="passing")


def judgement(gate: str, verdict: Verdict, value: str = "–") -> Judgement:
    return Judgement(
        gate=gate,
        verdict=verdict,
        reason=f"{gate}: because",
        value=value,
        limit="≤ +1 point",
        sample=48_211,
        lack=Lack.NOTHING,
        as_of=NOON,
    )


def in_canary(status: RolloutStatus = RolloutStatus.SOAKING) -> RolloutProgress:
    """Two stages passed, twelve of forty-eight hours of the canary's credit earned, one gate without an answer."""
    return RolloutProgress(
        plan="request-isolation",
        workflow_id="rollout/request-isolation",
        run_id="run-1",
        environment="production",
        images={"backend": "example/backend:2"},
        started_by="kim",
        started_at=NOON - 38 * HOUR,
        status=status,
        why="soaking in canary, features for 10%",
        next="then staged (50%)",
        stage=2,
        stages=[
            StageProgress(name="deploy-off", exposure="off", soak=2 * HOUR, state="passed", soak_state=soak(2 * HOUR)),
            StageProgress(name="internal", exposure="internal", soak=24 * HOUR, state="passed"),
            StageProgress(
                name="canary",
                exposure="10%",
                soak=48 * HOUR,
                state="soaking",
                soak_state=soak(12 * HOUR),
                judgements=(
                    judgement("backend_errors", Verdict.PASS, "+0.02 points"),
                    judgement("backend_p95", Verdict.UNKNOWN),
                ),
            ),
            StageProgress(name="full", exposure="full", soak=46 * HOUR),
        ],
        flags={"request_isolation": Exposure(exposure="percent", bp=1000, stage="canary")},
        traffic={"backend": TrafficSplit(shares={"backend-r2": 100})},
        timeline=[Event(at=NOON - MINUTE, kind="flags", text="features are on for 10%", by="kim")],
    )
