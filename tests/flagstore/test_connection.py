"""Every kind of address reaches the store; what an application's user may do is what its reader needs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import exceptions as redis_exceptions
from redis.asyncio import Redis

from flagstore.client import Flags
from flagstore.connection import what_it_did
from flagstore.store import FlagStore, StoreStatus, connect
from local.child_process import ChildProcess
from local.ports import LOOPBACK, answers, free_port
from local.redis_server import RedisServer, server_binary
from tests.flagstore.certificates import write_certificates
from tests.flagstore.faulty_wire import FaultyWire
from tests.flagstore.ground import ENVIRONMENT, GROUP, INTERNAL, begin, to
from tests.flagstore.tls_front import tls_in_front_of

APPLICATION_COMMANDS = [
    "-@all",
    "+mget",
    "+hset",
    "+hdel",
    "+subscribe",
    "+unsubscribe",
    "+ping",
    "+hello",
    "+auth",
    "+client|setname",
]
KEYS_BY_DIRECTION = (7, 0)
CLIENT_SETINFO = (7, 2)
STEPS = 200
STEP_SECONDS = 0.05


async def works_at(url: str) -> None:
    client = connect(url)
    try:
        store = FlagStore(client, ENVIRONMENT, GROUP)
        reply = await store.emergency(by="kim", reason="down")
        assert reply.status is StoreStatus.OK
        assert reply.snapshot == await store.read()
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1", "scheme 'http': expected one of redis://…, rediss://…"),
        ("127.0.0.1:6379", "expected one of"),
        ("redis+sentinel://127.0.0.1:26379", "the path names the service"),
        ("redis+cluster://,127.0.0.1:7000", "'' is not host or host:port"),
        ("redis+pigeon://127.0.0.1", r"scheme 'redis\+pigeon'"),
    ],
)
def test_an_address_of_no_known_kind_is_refused_with_what_is_allowed(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        connect(url)


async def test_a_user_with_a_password_is_taken_from_the_address(server: RedisServer, redis: Redis) -> None:
    await redis.acl_setuser(
        "worker", enabled=True, passwords=["+p@ss/word"], commands=["+@all"], keys=["*"], channels=["*"]
    )

    await works_at(f"redis://worker:p%40ss%2Fword@{LOOPBACK}:{server.port}/0")

    with pytest.raises(redis_exceptions.AuthenticationError):
        await works_at(f"redis://worker:wrong@{LOOPBACK}:{server.port}/0")


async def test_who_may_not_read_is_refused_and_told_of_no_damage(server: RedisServer, redis: Redis) -> None:
    await redis.acl_setuser("guest", enabled=True, passwords=["+secret"], commands=["+ping"])
    for user, failure in (
        ("guest:secret", redis_exceptions.NoPermissionError),
        ("guest:wrong", redis_exceptions.AuthenticationError),
    ):
        client = connect(f"redis://{user}@{LOOPBACK}:{server.port}/0")
        with pytest.raises(failure) as told:
            await FlagStore(client, ENVIRONMENT, GROUP).read()
        assert what_it_did(told.value) == "refused"
        await client.aclose()


async def test_a_socket_of_this_machine_is_an_address(tmp_path: Path) -> None:
    server = RedisServer.start(tmp_path / "data", configuration={"unixsocket": str(tmp_path / "redis.sock")})
    try:
        await works_at(f"unix://{tmp_path}/redis.sock?db=0")
    finally:
        server.stop()


async def test_tls_trusts_the_authority_it_is_told_and_no_other(
    server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    certificates = write_certificates(tmp_path)
    async with tls_in_front_of(server.port, certificates) as port:
        await works_at(f"rediss://{LOOPBACK}:{port}/0?ssl_ca_certs={certificates.authority}")
        with pytest.raises(redis_exceptions.ConnectionError, match="certificate verify failed"):
            await works_at(f"rediss://{LOOPBACK}:{port}/0")


@pytest.fixture
def sentinel_port(server: RedisServer, tmp_path: Path) -> Iterator[int]:
    port, configuration = free_port(), tmp_path / "sentinel.conf"
    configuration.write_text(
        f"bind {LOOPBACK}\nport {port}\ndir {tmp_path}\nsentinel monitor flags {LOOPBACK} {server.port} 1\n"
    )
    sentinel = ChildProcess.start(
        "sentinel",
        [server_binary(), configuration, "--sentinel"],
        log=tmp_path / "sentinel.log",
        ready=lambda _: answers(port),
    )
    yield port
    sentinel.stop()


async def test_sentinels_are_asked_for_the_primary(redis: Redis, sentinel_port: int) -> None:
    await works_at(f"redis+sentinel://{LOOPBACK}:{free_port()},{LOOPBACK}:{sentinel_port}/flags")

    with pytest.raises(redis_exceptions.ConnectionError, match="No master found for 'other'"):
        await works_at(f"redis+sentinel://{LOOPBACK}:{sentinel_port}/other")


async def test_a_write_whose_answer_is_lost_is_not_repeated_behind_the_callers_back(
    server: RedisServer, redis: Redis
) -> None:
    fence = (await begin(FlagStore(redis, ENVIRONMENT, GROUP))).epoch
    with FaultyWire(server.port) as wire:
        client = connect(wire.url)
        store = FlagStore(client, ENVIRONMENT, GROUP)
        await client.ping()
        wire.lose_next_answer()

        with pytest.raises(redis_exceptions.ConnectionError):
            await to(store, INTERNAL, fence, idempotency_key="a key")
        settled = await to(store, INTERNAL, fence, idempotency_key="a key")
        await client.aclose()

    assert (settled.status, settled.replayed, settled.rev) == (StoreStatus.OK, True, 2)


async def test_a_server_that_stays_silent_is_an_error_in_time(server: RedisServer) -> None:
    with FaultyWire(server.port) as wire:
        wire.silence()
        client = connect(wire.url)
        with pytest.raises(redis_exceptions.TimeoutError):
            await FlagStore(client, ENVIRONMENT, GROUP).read()
        await client.aclose()


async def version_of(redis: Redis) -> tuple[int, int]:
    """The Redis version that a server is, or, for Valkey, is compatible with."""
    major, minor, *_ = str((await redis.info("server"))["redis_version"]).split(".")
    return int(major), int(minor)


async def test_an_application_may_follow_and_acknowledge_and_nothing_else(
    server: RedisServer, redis: Redis, store: FlagStore
) -> None:
    keys = store.keys
    version = await version_of(redis)
    read, write = ("%R~", "%W~") if version >= KEYS_BY_DIRECTION else ("~", "~")
    # redis-py's own method has no words for keys that may only be read, or only be written.
    await redis.execute_command(  # type: ignore[no-untyped-call]
        *("ACL", "SETUSER", "application", "on", ">secret", *APPLICATION_COMMANDS, "resetchannels", f"&{keys.channel}"),
        *(["+client|setinfo"] if version >= CLIENT_SETINFO else []),
        *(f"{read}{keys.snapshot}", f"{read}{keys.lease}", f"{write}{keys.acknowledgements}"),
    )
    fence = (await begin(store)).epoch
    url = f"redis://application:secret@{LOOPBACK}:{server.port}/0"

    async with Flags(url, ENVIRONMENT, GROUP, instance="web-1") as flags:
        await to(store, INTERNAL, fence)
        for _ in range(STEPS):
            acknowledged = (await store.acknowledgements()).get("web-1")
            shown = acknowledged is not None and acknowledged.position == (fence, 2)
            if flags.is_enabled("basket", "user-1", "kim@example.com") and shown:
                break
            await asyncio.sleep(STEP_SECONDS)
        assert flags.is_enabled("basket", "user-1", "kim@example.com")
        assert flags.status().counts.push_connections == 1
        assert (await store.acknowledgements())["web-1"].position == (fence, 2)

    application = connect(url)
    try:
        for forbidden in (
            application.set(keys.snapshot, "{}"),
            application.publish(keys.channel, "{}"),
            application.get(keys.safety),
            application.eval("return 1", 0),
            application.flushall(),
        ):
            with pytest.raises(redis_exceptions.NoPermissionError):
                await forbidden
    finally:
        await application.aclose()
