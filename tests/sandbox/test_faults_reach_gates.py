"""Every fault of the sample application, from `rollout sandbox fault` to the verdict of a gate of the rehearsal.

Real requests to a real process; its metrics are written with Google's client and read by the worker's own source.
"""

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from activities.google_clients import google_clients
from activities.monitoring import CloudMonitoring
from flagstore.store import FlagStore, connect
from local.redis_server import RedisServer
from local.sandbox_server import services_of
from local.simulated_users import INTERNAL_DOMAIN, SimulatedUsers
from rollout.binding import query_for
from rollout.flags import Audience
from rollout.gate_judgement import WindowSamples, judge
from rollout.gates import metrics_of
from rollout.measurement import Counts, Group, GroupsByCohort, MeasurementSource, Sample, TimeSeriesQuery
from rollout.sample_sums import merge
from rollout.soak import align_down
from rollout.verdict import Verdict
from rollout.window_reading import size_of
from sandbox.options import InstalledService
from starter import sandbox_commands
from starter.plan_file import load_plan
from tests.checkout import PLANS
from tests.flagstore.ground import INTERNAL, begin
from tests.sandbox.google import Google

PLAN = load_plan(PLANS / "rehearsal.yaml")
APP = f"{shlex.quote(sys.executable)} -m sample_app"
IMAGE = "example/backend:1"
SAMPLE = timedelta(seconds=0.5)
ENOUGH = 60
TREATED = 6
BEYOND = {
    "backend_errors": "error_rate",
    "errors_p0": "error_rate",
    "backend_errors_internal": "error_rate",
    "backend_p95": "latency_ms",
    "isolation_score": "isolation_breach_rate",
    "isolation_internal": "isolation_breach_rate",
    "cascade_failures": "cascade_rate",
    "backend_memory": "leak_kib_per_request",
}
"""The gates that must fail, and the fault that each one shows."""
BY_COHORT = GroupsByCohort.model_validate({"label": "metric.labels.cohort", "steps": ["10%", "50%"]})
FAULTS = ("error_rate=0.4", "isolation_breach_rate=0.5", "cascade_rate=0.3", "latency_ms=250")
LEAK = "leak_kib_per_request=1024"

Samples = Mapping[str, Mapping[Group, Sample]]

pytestmark = pytest.mark.timeout(120)


@dataclass
class Ground:
    users: SimulatedUsers
    source: MeasurementSource

    async def fault(self, *words: str) -> None:
        await asyncio.to_thread(sandbox_commands.fault, [IMAGE, *words])

    async def window(self) -> Samples:
        """What each metric says of the time in which enough users of both groups were served from now on."""
        start = align_down(datetime.now(UTC), SAMPLE) + SAMPLE
        while await self._served(start) < ENOUGH:
            continue
        end = align_down(datetime.now(UTC), SAMPLE)
        return {name: await self.read(query_for(PLAN, name, {}, {}), start, end) for name in PLAN.metrics}

    async def _served(self, start: datetime) -> int:
        end = align_down(datetime.now(UTC), SAMPLE)
        if end <= start:
            return 0
        found = await self.read(query_for(PLAN, "backend_requests", {}, {}), start, end)
        return min(size_of(found.get(group)) for group in ("treated", "control"))

    async def own(self, metric: str, start: datetime) -> Mapping[Group, Sample]:
        """A counter of the application that no gate of the plan reads."""
        counted = PLAN.metrics["cascades"].model_copy(update={"type": f"custom.googleapis.com/rollout/{metric}"})
        query = query_for(PLAN.model_copy(update={"metrics": {metric: counted}}), metric, {}, {})
        return await self.read(query, start, align_down(datetime.now(UTC), SAMPLE))

    async def by_cohort_and_by_group(self, start: datetime) -> tuple[Mapping[Group, Sample], Mapping[Group, Sample]]:
        """The same requests, told apart in both ways."""
        end, by_group = align_down(datetime.now(UTC), SAMPLE), query_for(PLAN, "backend_requests", {}, {})
        labelled = by_group.metric.model_copy(
            update={"type": "custom.googleapis.com/rollout/cohort_request_count", "groups": BY_COHORT}
        )
        by_cohort = TimeSeriesQuery(project=by_group.project, metric=labelled, cohort=0.5)
        return await self.read(by_cohort, start, end), await self.read(by_group, start, end)

    async def read(self, query: TimeSeriesQuery, start: datetime, end: datetime) -> Mapping[Group, Sample]:
        measured = await self.source.measure(query, start=start, end=end, interval=SAMPLE)
        groups = {group for each in measured for group in each.groups}
        merged = {group: merge(each.groups[group] for each in measured if group in each.groups) for group in groups}
        return {group: sample for group, sample in merged.items() if sample is not None}


@pytest.fixture
async def ground(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    async with connect(redis_server.url) as redis:
        store = FlagStore(redis, PLAN.environment, PLAN.name)
        audience = Audience(domains=(INTERNAL_DOMAIN,), users=())
        begun = await begin(store, flags=PLAN.flags, audience=audience, cohort=PLAN.cohort)
        await store.set_exposures(dict.fromkeys(PLAN.flags, INTERNAL), fence=begun.epoch, by="kim", reason="a test")
    backend = InstalledService.parse(services_of([PLAN])[0])
    real = {"app_command": APP, "sample_seconds": SAMPLE.total_seconds(), "ingest_delay_seconds": 0.0}
    async with Google.started(services=(backend,), redis_url=redis_server.url, **real) as google:
        monkeypatch.setenv("ROLLOUT_SANDBOX_URL", google.sandbox.http_url)
        clients = google_clients(google.sandbox.grpc_target)
        (service,) = google.sandbox.services
        users = SimulatedUsers(service.message.uri, count=12, requests_per_second=120.0, internal=TREATED)
        async with users.active():
            while not users.tally.by_group["treated"]:  # noqa: ASYNC110  (flags reach the application without an event)
                await asyncio.sleep(0.02)
            yield Ground(users, CloudMonitoring(clients.metrics))
        await clients.close()


def verdicts(samples: Samples, before: Samples) -> dict[str, Verdict]:
    found = {}
    for name in (*BEYOND, "websocket_events"):
        gate = PLAN.gates[name]
        baseline = before.get(metrics_of(gate)[0], {}).get("all")
        window = WindowSamples(as_of=datetime.now(UTC), samples=samples, baseline=baseline)
        found[name] = judge(name, gate, window).verdict
    return found


def counts(sample: Sample) -> tuple[int, int]:
    """All, and the bad ones."""
    assert isinstance(sample, Counts)
    return sample.total, sample.bad


async def test_every_fault_is_seen_in_its_metric_by_its_gate_and_not_among_the_users_it_spares(ground: Ground) -> None:
    healthy = await ground.window()
    assert verdicts(healthy, healthy) == dict.fromkeys((*BEYOND, "websocket_events"), Verdict.PASS)

    began = align_down(datetime.now(UTC), SAMPLE)
    await ground.fault(*FAULTS, LEAK)
    broken = await ground.window()
    found = verdicts(broken, healthy)
    assert {name: found[name] for name in BEYOND} == dict.fromkeys(BEYOND, Verdict.FAIL)
    assert counts(broken["isolation"]["control"])[1] == 0
    # Those whom a failing neighbour took along, and nobody else.
    assert counts(broken["backend_requests"]["control"])[1] == counts(broken["cascades"]["control"])[0]
    affected, legacy = await ground.own("users_affected", began), await ground.own("legacy_path_requests", began)
    assert counts(affected["treated"]) == (TREATED, 0)
    assert counts(legacy["treated"]) == (0, 0)
    assert counts(legacy["control"])[0] > 0
    # Nobody of the cohort is exposed yet, and its parts are told apart already; the company's people are in none.
    cohort, groups = await ground.by_cohort_and_by_group(began)
    assert size_of(cohort.get("treated")) + size_of(cohort.get("control")) == size_of(groups["control"])
    assert size_of(cohort["all"]) == size_of(groups["all"])

    await ground.fault("websocket_silence=true")
    # A report that came late carries events of before.
    while size_of((silent := await ground.window())["websocket_latency"].get("treated")):
        continue
    assert size_of(silent["websocket_latency"]["control"]) > 0
    # Nobody to be judged: the soak earns no credit, and so never promotes.
    assert verdicts(silent, healthy)["websocket_events"] is Verdict.IDLE
