"""`rollout load-test` against real applications: the sample one behind the sandbox's router, and a user's own."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.failures import Failure
from activities.load_test import run_load_test
from config.settings import inherited_environment
from flagstore.store import FlagStore, connect
from local.checkout import CHECKOUT
from local.redis_server import RedisServer
from local.sandbox_server import SAMPLE_APP, SandboxOptions, SandboxServer
from rollout.flags import Audience
from rollout.load_test import LoadTest
from tests import patient_http
from tests.flagstore.ground import INTERNAL, begin
from tests.loadtest.certificates import LOOPBACK, self_signed
from tests.loadtest.processes import ends, load_tests_of
from tests.rollout.flag_samples import FLAGS
from tests.starter.command_line import Ran, rollout

IMAGE = "shop/backend:1"
QUICKLY = ("--duration", "2", "--concurrent-users", "8", "--pace", "100ms")
STAFF = "staff.example.com"

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """One service of the sample application behind the router; staff have its new features."""
    directory = tmp_path_factory.mktemp("load-test")
    with ExitStack() as leaving:
        redis = RedisServer.start(directory / "redis")
        leaving.callback(redis.stop)
        asyncio.run(expose_to_staff(redis.url))
        service = f"shop-production/us-central1/backend={IMAGE}@production:shop"
        started = SandboxServer.start(
            directory / "sandbox", SandboxOptions(redis.url, [service], app_command=SAMPLE_APP)
        )
        leaving.callback(started.stop)
        (url,) = started.service_urls()
        while (
            patient_http.get(f"{url}/work", headers={"X-User": "a", "X-Email": f"a@{STAFF}"}).json()["group"]
            != "treated"
        ):
            continue
        yield started


async def expose_to_staff(redis_url: str) -> None:
    async with connect(redis_url) as connection:
        store = FlagStore(connection, "production", "shop")
        begun = await begin(store, flags=FLAGS, audience=Audience(domains=(STAFF,), users=()))
        await store.set_exposures(dict.fromkeys(FLAGS, INTERNAL), fence=begun.epoch, by="kim", reason="a test")


@pytest.fixture
def faults(sandbox: SandboxServer) -> Iterator[Any]:
    """Switch faults of the application; taken back after the test."""

    def switch(**wanted: object) -> None:
        httpx.put(f"{sandbox.url}/application-faults", json={"image": IMAGE, **wanted}).raise_for_status()

    yield switch
    httpx.delete(f"{sandbox.url}/application-faults").raise_for_status()


def load(sandbox: SandboxServer, *options: str) -> Ran:
    return rollout("load-test", *QUICKLY, *options, environment={"ROLLOUT_SANDBOX_URL": sandbox.url})


def test_a_healthy_application_passes_under_traffic_of_every_kind(sandbox: SandboxServer) -> None:
    ran = load(sandbox, "--mixed-traffic", "--monitor-isolation", "--json")

    assert (ran.code, ran.err) == (0, "")
    kinds = {kind["name"]: kind["requests"] for kind in ran.json["kinds"]}
    assert kinds.keys() == {"GET /work", "GET /health/overall", "WebSocket sessions"}
    assert min(kinds.values()) > 0
    assert (ran.json["passed"], ran.json["failures"], ran.json["events_lost"]) == (True, 0, 0)
    assert ran.json["events"] > 0
    assert ran.json["checked"] == kinds["GET /work"] + ran.json["events"]


def test_a_breach_of_isolation_for_treated_users_is_found_and_names_each_of_them(
    sandbox: SandboxServer, faults: Any
) -> None:
    faults(isolation_breach_rate=1.0)
    # Addresses are given in turn: the users with odd numbers are staff.
    ran = load(sandbox, "--monitor-isolation", "--email-domain", "example.com", "--email-domain", STAFF, "--json")

    assert ran.code == 1
    found = {breach["user"]: breach["times"] for breach in ran.json["breaches"]}
    assert found.keys() == {"load-user-1", "load-user-3", "load-user-5", "load-user-7"}
    assert sum(found.values()) == ran.json["violations"]
    assert "isolation: 4 users were served another user's data" in ran.err


def test_errors_and_slow_answers_break_their_limits_and_a_person_reads_the_figures(
    sandbox: SandboxServer, faults: Any
) -> None:
    faults(error_rate=1.0, latency_ms=50, to="all")
    ran = load(sandbox, "--max-p95", "20ms")

    assert ran.code == 1
    assert "500 Internal Server Error" in ran.out
    assert "(100.00%), at most 1% may" in ran.err
    assert "at most 20 ms are allowed" in ran.err


async def skipping_events(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    for number in (1, 2, 5):
        await socket.send_json({"n": number, "for": {"id": request.headers["X-Account"]}})
    async for _ in socket:
        continue
    return socket


async def somebodys_data(request: web.Request) -> web.Response:
    return web.Response(text="<p>yours</p>", headers={"X-Data-Of": request.headers["X-Account"]})


OWN_WAY = (
    *("--path", "/mine", "--health-path", "/mine", "--events-path", "/stream"),
    *("--user-header", "X-Account", "--owner-header", "X-Data-Of"),
    *("--event-owner-field", "for.id", "--event-number-field", "n"),
)


@asynccontextmanager
async def own_application(tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An application with paths, headers and events of its own; it loses two events of each session."""
    application = web.Application()
    application.add_routes([web.get("/mine", somebodys_data), web.get("/stream", skipping_events)])
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_an_application_of_ones_own_says_whose_data_it_carries_in_its_own_way_and_lost_events_are_counted() -> (
    None
):
    async with own_application() as url:
        ran = await asyncio.to_thread(
            rollout,
            *("load-test", url, *QUICKLY, "--mixed-traffic", "--monitor-isolation", "--json"),
            *OWN_WAY,
        )

    assert (ran.json["failures"], ran.json["unsaid"], ran.json["violations"]) == (0, 0, 0)
    assert ran.json["checked"] > ran.json["events"] > 0
    assert ran.json["events_lost"] == 4, "two listeners miss the events 3 and 4"
    assert ran.json["broken_limits"] == ["events: 4 lost beside 6 received, at most 0 may be"]


async def test_over_tls_requests_and_events_need_an_authority_that_is_trusted(tmp_path: Path) -> None:
    context, authority = self_signed(tmp_path)
    options = ("--duration", "1", "--concurrent-users", "4", "--pace", "100ms", "--mixed-traffic", "--json", *OWN_WAY)
    async with own_application(context) as url:
        trusting = await asyncio.to_thread(
            rollout, "load-test", url, *options, environment={"SSL_CERT_FILE": str(authority)}
        )
        distrusting = await asyncio.to_thread(rollout, "load-test", url, *options)

    assert (trusting.json["failures"], trusting.json["events"] > 0) == (0, True), trusting.out
    assert distrusting.code == 1
    wrong = "TLS: self-signed certificate; the variable SSL_CERT_FILE names whom to trust besides"
    assert distrusting.json["errors"].keys() == {wrong, f"WebSocket: {wrong}"}


def test_what_never_answers_ends_the_load_test_in_time_and_has_failed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ran = rollout("load-test", url, "--duration", "1", "--concurrent-users", "4", "--mixed-traffic", "--json")

    assert ran.code == 1
    assert ran.json["errors"] == {"not answered before the end of the test": 4}
    assert ran.json["elapsed_seconds"] >= 4
    assert "errors: 4 of 4 failed" in ran.err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_ended_leaves_no_load_behind(sandbox: SandboxServer, number: signal.Signals) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "starter", "load-test", *sandbox.service_urls(), "--duration", "600"],
        cwd=CHECKOUT,
        env=inherited_environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with command:
        assert command.stdout is not None
        assert b"s of 10m, " in command.stdout.readline()
        (process,) = load_tests_of(command.pid)
        command.send_signal(number)

        assert ends(process)


class TestAsAnActivity:
    async def test_cancelled_it_leaves_no_load_behind(self, sandbox: SandboxServer) -> None:
        test = LoadTest.model_validate(
            {"urls": sandbox.service_urls(), "concurrent_users": 3, "duration": "10m", "mixed_traffic": True}
        )
        stands: asyncio.Queue[str] = asyncio.Queue()
        environment = ActivityEnvironment()
        environment.on_heartbeat = stands.put_nowait
        running = asyncio.create_task(environment.run(run_load_test, test))
        while "requests/s" not in await stands.get():
            continue
        (process,) = load_tests_of(os.getpid())
        environment.cancel()

        with pytest.raises(asyncio.CancelledError):
            await running
        assert ends(process)

    async def test_a_worker_without_locust_says_what_it_needs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "locust", None)
        test = LoadTest.model_validate({"urls": ["http://127.0.0.1:1"], "concurrent_users": 1, "duration": "1s"})

        with pytest.raises(ApplicationError, match="extra `load`") as refused:
            await ActivityEnvironment().run(run_load_test, test)
        assert (refused.value.type, refused.value.non_retryable) == (Failure.NOT_INSTALLED, True)
