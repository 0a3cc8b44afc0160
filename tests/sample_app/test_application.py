"""The sample application as a process of its own, asked over HTTP and a WebSocket."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from flagstore.store import FlagStore
from flagstore.store import connect as connect_to_store
from local.child_process import ChildFailed, ChildProcess
from local.redis_server import RedisServer
from rollout.flags import Audience
from tests import patient_http
from tests.flagstore.ground import INTERNAL, begin
from tests.rollout.flag_samples import FLAGS
from tests.sample_app.processes import CONTROL, TOKEN, TREATED, application

ENVIRONMENT, GROUP = "production", "shop"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, RedisServer]]:
    """One application, whose tests leave no fault behind, and the Redis that its flags are in."""
    directory = tmp_path_factory.mktemp("sample-app")
    redis = RedisServer.start(directory / "redis")
    with ExitStack() as leaving:
        leaving.callback(redis.stop)
        variables = {"SAMPLE_APP_REDIS_URL": redis.url, "SAMPLE_APP_FLAG_GROUP": f"{ENVIRONMENT}:{GROUP}"}
        yield leaving.enter_context(application(directory, **variables))[0], redis


async def with_features_for_internal_users(store: FlagStore) -> None:
    begun = await begin(store, flags=FLAGS, audience=Audience(domains=("netrasystems.ai",), users=()))
    await store.set_exposures(dict.fromkeys(FLAGS, INTERNAL), fence=begun.epoch, by="kim", reason="a stage")


@pytest.fixture
async def app(running: tuple[str, RedisServer]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, in which internal users have the new features and no fault is switched on."""
    address, redis = running
    async with (
        connect_to_store(redis.url) as connection,
        patient_http.async_client(base_url=f"http://{address}") as client,
    ):
        store = FlagStore(connection, ENVIRONMENT, GROUP)
        if await store.read() is None:
            await with_features_for_internal_users(store)
        await client.delete("/faults", headers={"X-Faults-Token": TOKEN})
        while (await client.get("/work", headers=TREATED)).json()["group"] != "treated":
            continue
        yield client


async def switch(app: httpx.AsyncClient, **faults: object) -> None:
    answer = await app.put("/faults", json=faults, headers={"X-Faults-Token": TOKEN})
    assert answer.status_code == 200, answer.text


def memory_mib(process: ChildProcess) -> float:
    """What a process holds in memory."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def events(app: httpx.AsyncClient, headers: dict[str, str], after: str = "") -> "connect":
    return connect(f"ws://{app.base_url.netloc.decode()}/events{after}", additional_headers=headers, proxy=None)


async def sequence(socket: ClientConnection) -> int:
    number: int = json.loads(await socket.recv())["sequence"]
    return number


async def test_a_user_with_the_feature_takes_the_new_path_and_everybody_else_the_legacy_one(
    app: httpx.AsyncClient,
) -> None:
    treated = (await app.get("/work", headers=TREATED)).json()
    control = (await app.get("/work", headers=CONTROL)).json()

    assert (treated["path"], treated["state_of"], treated["factory"]) == ("isolated", "ann", True)
    assert (control["path"], control["state_of"], control["factory"]) == ("legacy", "bob", False)


async def test_a_fault_for_treated_users_leaves_the_others_alone(app: httpx.AsyncClient) -> None:
    await switch(app, error_rate=1.0)

    assert (await app.get("/work", headers=TREATED)).status_code == 500
    assert (await app.get("/work", headers=CONTROL)).status_code == 200


async def test_a_fault_that_spares_a_domain_is_met_by_everybody_else(app: httpx.AsyncClient) -> None:
    await switch(app, error_rate=1.0, to="all", spared_domain="netrasystems.ai")

    assert (await app.get("/work", headers=TREATED)).status_code == 200
    assert (await app.get("/work", headers=CONTROL)).status_code == 500


async def test_latency_is_added_to_the_answers_of_the_treated_only(app: httpx.AsyncClient) -> None:
    await switch(app, latency_ms=2000)
    answered: list[str] = []

    async def ask(headers: dict[str, str]) -> float:
        answer = await app.get("/work", headers=headers)
        answered.append(answer.json()["group"])
        return answer.elapsed.total_seconds()

    slow, _ = await asyncio.gather(ask(TREATED), ask(CONTROL))

    assert slow >= 2.0
    assert answered == ["control", "treated"]


async def test_a_leak_grows_the_process_with_the_requests_of_the_treated(tmp_path: Path) -> None:
    with application(tmp_path) as (address, process):
        async with patient_http.async_client(base_url=f"http://{address}") as client:
            await switch(client, leak_kib_per_request=1024)
            before = memory_mib(process)
            await asyncio.gather(*(client.get("/work", headers=CONTROL) for _ in range(40)))
            spared = memory_mib(process)
            await switch(client, leak_kib_per_request=1024, to="all")
            await asyncio.gather(*(client.get("/work", headers=CONTROL) for _ in range(40)))
            leaked = memory_mib(process)

    assert spared - before < 20
    assert leaked - spared > 20


async def test_a_fault_for_all_reaches_users_on_the_legacy_path_too(app: httpx.AsyncClient) -> None:
    await switch(app, error_rate=1.0, to="all")

    assert (await app.get("/work", headers=CONTROL)).status_code == 500


async def test_a_breach_of_isolation_answers_with_another_users_state_and_shows_on_the_health_page(
    app: httpx.AsyncClient,
) -> None:
    await app.get("/work", headers=CONTROL)
    await switch(app, isolation_breach_rate=1.0)

    assert (await app.get("/work", headers=TREATED)).json()["state_of"] == "bob"
    health = (await app.get("/health/isolation")).json()
    assert health["status"] == "degraded"
    assert health["score"] < 1.0


async def test_a_cascade_takes_another_users_request_along(app: httpx.AsyncClient) -> None:
    await switch(app, cascade_rate=1.0)
    assert (await app.get("/work", headers=TREATED)).status_code == 500
    await switch(app)

    assert (await app.get("/work", headers=CONTROL)).status_code == 500
    assert (await app.get("/work", headers=CONTROL)).status_code == 200
    assert (await app.get("/health/factory")).json()["score"] < 1.0


async def test_events_are_numbered_without_a_gap_and_a_user_who_was_away_is_sent_what_happened_since(
    app: httpx.AsyncClient,
) -> None:
    async with events(app, CONTROL) as socket:
        first = await sequence(socket)
        assert await sequence(socket) == first + 1
    async with events(app, CONTROL, f"?after={first - 3}") as socket:
        assert [await sequence(socket) for _ in range(4)] == [first - 2, first - 1, first, first + 1]


async def test_silence_reaches_the_treated_only(app: httpx.AsyncClient) -> None:
    await switch(app, websocket_silence=True)

    async with events(app, TREATED) as silent, events(app, CONTROL) as heard:
        first = await sequence(heard)
        await switch(app)
        last = await sequence(heard)
        assert await sequence(silent) > first
        assert last == first + 1


@pytest.mark.parametrize("page", ["isolation", "websocket", "factory", "overall"])
async def test_there_is_a_health_page_for(page: str, app: httpx.AsyncClient) -> None:
    answer = await app.get(f"/health/{page}")

    assert answer.status_code == 200
    assert answer.json()["status"] in {"ok", "degraded"}


async def test_faults_need_the_token(app: httpx.AsyncClient) -> None:
    for headers in ({}, {"X-Faults-Token": "a guess"}):
        assert (await app.put("/faults", json={"error_rate": 1.0}, headers=headers)).status_code == 403

    assert (await app.get("/work", headers=TREATED)).status_code == 200


async def test_a_fault_that_does_not_exist_is_refused_with_field_and_value(app: httpx.AsyncClient) -> None:
    answer = await app.put("/faults", json={"error_rate": 2}, headers={"X-Faults-Token": TOKEN})

    assert answer.status_code == 400
    assert answer.json()["error"] == "error_rate: Input should be less than or equal to 1, got 2"


async def test_on_sigterm_a_request_that_has_begun_is_answered_and_sockets_are_told_to_come_back(
    tmp_path: Path,
) -> None:
    with application(tmp_path) as (address, process):
        async with patient_http.async_client(base_url=f"http://{address}") as client, events(client, CONTROL) as socket:
            await switch(client, latency_ms=500, to="all")
            answer = await _answered_while_it_stops(client, process)
            received = [number async for number in _until_closed(socket)]

    assert answer.status_code == 200
    assert socket.close_code == 1012
    assert received == sorted(set(received))
    assert process.exit_code == 0


async def _answered_while_it_stops(client: httpx.AsyncClient, process: ChildProcess) -> httpx.Response:
    """A slow request, once it is under way; then the process is told to stop."""

    async def trace(event: str, _: object) -> None:
        if event == "http11.receive_response_headers.started":
            os.kill(process.pid, signal.SIGTERM)

    return await client.get("/work", headers=CONTROL, extensions={"trace": trace})


async def _until_closed(socket: ClientConnection) -> AsyncIterator[int]:
    try:
        while True:
            yield await sequence(socket)
    except ConnectionClosed:
        return


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SAMPLE_APP_FLAG_GROUP", "shop", "is not ENVIRONMENT:GROUP"),
        ("SAMPLE_APP_COHORT_STEPS", "10;50", "is no list of percentages such as 10,50"),
        ("SAMPLE_APP_COHORT_STEPS", "50,10", "does not ascend, each above 0 and below 100"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, problem: str) -> None:
    with (
        pytest.raises(ChildFailed, match=f"{name}: '{value}' {problem}"),
        application(tmp_path, **{name: value}),
    ):
        pytest.fail("it started")


STALLED_SECONDS = 7.0
"""Longer than a web server keeps an idle connection unless it is told to."""


async def test_an_idle_connection_outlives_a_router_that_a_busy_machine_keeps_from_noticing(tmp_path: Path) -> None:
    with application(tmp_path) as (address, _):
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(2):
            writer.write(f"GET /work HTTP/1.1\r\nHost: {address}\r\nX-User: ann\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(STALLED_SECONDS):
                    await reader.read(1)
        writer.close()
