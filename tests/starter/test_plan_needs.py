"""Secrets and load tests that a plan names are looked at before a rollout counts on them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.google_clients import google_clients
from rollout.plan import RolloutPlan
from sandbox.faults import Fault
from sandbox.options import InstalledSecret, InstalledService, SandboxOptions
from sandbox.secrets import DISABLED
from sandbox.server import Sandbox
from starter.findings import Finding
from starter.plan_file import load_plan
from starter.plan_needs import needs_of
from tests.activities.http_endpoint import response, sends, serving
from tests.starter.command_line import QUICK_PLAN

NOBODY_LISTENS = "http://127.0.0.1:1"
SECRET = {"kind": "secret", "project": "example-shop", "name": "db-password"}
LOAD = {"kind": "load_test", "concurrent_users": 2, "duration": "1s"}
SERVICE = InstalledService.parse("example-shop/europe-west1/quick-backend=shop/backend:1")


def plan_with(*checks: dict[str, Any]) -> RolloutPlan:
    written = load_plan(QUICK_PLAN).model_dump(mode="json", exclude_none=True)
    written["stages"][1]["checks"] = {"before": list(checks)}
    return RolloutPlan.model_validate(written)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    secrets = (InstalledSecret.parse("example-shop/db-password=opensesame"),)
    async with Sandbox.started(SandboxOptions(services=(SERVICE,), secrets=secrets)) as started:
        yield started


async def need_of(sandbox: Sandbox, check: dict[str, Any]) -> Finding:
    google = google_clients(sandbox.grpc_target)
    try:
        (found,) = await needs_of(plan_with(check), google)
    finally:
        await google.close()
    assert "opensesame" not in found.text
    return found


async def test_a_secret_that_is_enabled_is_well(sandbox: Sandbox) -> None:
    assert await need_of(sandbox, SECRET) == Finding(level="ok", what="secret db-password (latest)", text="enabled")


async def test_a_secret_that_is_not_there_not_enabled_or_not_to_be_read_is_bad_and_says_which(sandbox: Sandbox) -> None:
    missing = await need_of(sandbox, {**SECRET, "name": "other"})
    assert (missing.level, missing.what) == ("bad", "secret other (latest)")
    assert missing.text.startswith("projects/example-shop/secrets/other/versions/latest is not there")

    version = sandbox.secrets.version("projects/example-shop/secrets/db-password/versions/1")
    await sandbox.secrets.set_state(version, DISABLED)
    assert "is DISABLED, wanted ENABLED" in (await need_of(sandbox, SECRET)).text

    sandbox.faults.put(Fault(method="GetSecretVersion", code="PERMISSION_DENIED"))
    denied = await need_of(sandbox, SECRET)
    assert denied.level == "bad"
    assert "Permission 'secretmanager.versions.get' denied" in denied.text


@pytest.mark.parametrize(
    ("answer", "isolated", "level", "said"),
    [
        (response("200 OK", b'{"state_of": "load-user-1"}'), True, "ok", "answers and says whose data it carries"),
        (response("200 OK", b"hello"), False, "ok", "answers"),
        (response("200 OK", b"hello"), True, "bad", "does not say whose data it carries, in the field state_of"),
        (response("503 Service Unavailable", b""), False, "bad", "answers 503"),
    ],
)
async def test_the_address_of_a_load_test_is_asked_once_as_its_users_would(
    sandbox: Sandbox, answer: bytes, isolated: bool, level: str, said: str
) -> None:
    async with serving(sends(answer)) as url:
        found = await need_of(sandbox, {**LOAD, "url": url, "monitor_isolation": isolated})

        assert found == Finding(level=level, what=f"load test of {url}", text=f"{url}/work {said}")


async def test_an_address_where_nobody_listens_is_bad(sandbox: Sandbox) -> None:
    found = await need_of(sandbox, {**LOAD, "url": NOBODY_LISTENS})

    assert found.level == "bad"
    assert found.text.startswith(f"{NOBODY_LISTENS} does not answer: ")


async def test_a_service_is_asked_where_it_serves_now_and_what_it_lacks_its_candidate_may_have(
    sandbox: Sandbox,
) -> None:
    healthy = await need_of(sandbox, {**LOAD, "service": "backend", "path": "/health/overall"})
    assert (healthy.level, healthy.what) == ("ok", "load test of backend")

    lacking = await need_of(sandbox, {**LOAD, "service": "backend"})
    assert lacking.level == "warn"
    assert lacking.text.endswith("/work answers 404, now; the candidate may answer otherwise")

    sandbox.faults.put(Fault(method="GetService", code="PERMISSION_DENIED"))
    denied = await need_of(sandbox, {**LOAD, "service": "backend"})
    assert denied.level == "bad"
    assert "Permission 'run.services.get' denied" in denied.text
