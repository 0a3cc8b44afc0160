"""What people are told when the surroundings of a rollout cannot be read."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from temporalio.exceptions import ApplicationError

from activities.failures import Failure
from activities.flag_access import Flags
from activities.surroundings import Prober, Surroundings, TrafficReader
from rollout.flags import FlagSnapshot
from rollout.soak import begin
from rollout.traffic import ServiceRef, TrafficSplit
from rollout.verdict import Verdict
from rollout.watch import Expected, ExpectedTraffic, WatchRequest

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
BACKEND = ServiceRef(key="backend", project="shop", region="us-central1", service="backend")


class _Silent:
    """A store and a Cloud Run that fail in the words of the activities that ask them."""

    async def snapshot(self, environment: str, group: str) -> FlagSnapshot | None:
        raise ApplicationError("reading the flags: refused", type=Failure.SOURCE_FAILURE)

    async def read_traffic(self, service: ServiceRef) -> TrafficSplit:
        raise ApplicationError("reading backend: DEADLINE_EXCEEDED: too late", type=Failure.SOURCE_FAILURE)


async def test_what_could_not_be_read_is_told_without_the_name_of_a_kind_of_failure() -> None:
    silent = _Silent()
    surroundings = Surroundings(
        flags=cast("Flags", silent), traffic=cast("TrafficReader", silent), prober=cast("Prober", None)
    )
    split = TrafficSplit(shares={"stable": 100})
    expected: dict[str, Any] = {"environment": "production", "group": "shop", "fence": 1, "flags": {}}
    request = WatchRequest(
        stage="canary",
        soak=begin(NOON, timedelta(minutes=1)),
        target=timedelta(hours=1),
        gates={},
        expected=Expected(**expected, traffic=(ExpectedTraffic(service=BACKEND, split=split),)),
    )
    snapshot, _ = await surroundings.flags_now(request.expected)
    assert snapshot == "the flag store could not be read: reading the flags: refused"
    drift = (await surroundings.look(request, snapshot, NOON))["drift"]
    assert drift.verdict is not Verdict.PASS
    assert "the traffic of backend could not be read: reading backend: DEADLINE_EXCEEDED: too late" in drift.reason
    assert Failure.SOURCE_FAILURE not in drift.reason
