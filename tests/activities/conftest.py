from collections.abc import AsyncIterator

import pytest

from activities import cloud_run_calls
from sandbox.cloud_run import EtagProfile, InflightProfile
from tests.activities.cloud_run_ground import Ground
from tests.activities.monitored_ground import Monitored, Watch, monitored


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses after calls that did not get through are for a service far away."""
    monkeypatch.setattr(cloud_run_calls, "PAUSES_SECONDS", (0.01, 0.02))


Profile = tuple[EtagProfile, InflightProfile]

EVERY_PROFILE: list[Profile] = [
    ("enforce", "supersede"),
    ("enforce", "abort"),
    ("ignore", "supersede"),
    ("ignore", "abort"),
]
"""Nobody knows whether Cloud Run refuses a stale etag, or an update while an older one is on its way."""


@pytest.fixture(params=[("ignore", "supersede"), ("enforce", "abort")], ids="-".join)
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """A service under the most and the least forgiving Cloud Run that there may be."""
    etag, inflight = request.param
    async with Ground.laid(etag=etag, inflight=inflight) as laid:
        yield laid


@pytest.fixture(params=EVERY_PROFILE, ids="-".join)
async def any_ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """A service under every Cloud Run that there may be: for what must hold whatever happens."""
    etag, inflight = request.param
    async with Ground.laid(etag=etag, inflight=inflight) as laid:
        yield laid


@pytest.fixture
def clock() -> Watch:
    return Watch()


@pytest.fixture
async def monitoring(clock: Watch) -> AsyncIterator[Monitored]:
    """An hour of traffic on one revision, up to noon."""
    async with monitored(clock) as (ground, source):
        yield ground, source
