"""Servers that die, lose their data or their last writes, and connections that break in the middle of a change."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ConnectionBroken
from redis.exceptions import RedisError

from flagstore.client import Flags
from flagstore.commands import commands
from flagstore.held import Limit
from flagstore.store import FlagStore, StoreStatus, connect
from local.ports import LOOPBACK
from local.redis_server import RedisServer
from tests.flagstore.faulty_wire import FaultyWire
from tests.flagstore.ground import (
    CANARY,
    ENVIRONMENT,
    FULL,
    GROUP,
    INTERNAL,
    KIM,
    begin,
    climb,
    has_read,
    shown,
    snapshot_of,
    to,
)
from tests.flagstore.serial_history import SerialHistory
from tests.flagstore.waiting import until, until_all


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[[], RedisServer]]:
    """Starts a server that a test may break; called again, it is started again in its directory and on its port."""
    started: list[RedisServer] = []

    def start() -> RedisServer:
        port = started[-1].port if started else None
        started.append(RedisServer.start(tmp_path / "redis", port))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@asynccontextmanager
async def store_at(url: str) -> AsyncIterator[FlagStore]:
    client = connect(url)
    try:
        yield FlagStore(client, ENVIRONMENT, GROUP)
    finally:
        await client.aclose()


async def test_a_server_that_was_killed_and_has_its_data_still_holds_the_kill_switch(
    own_server: Callable[[], RedisServer],
) -> None:
    server = own_server()
    async with store_at(server.url) as store, Flags(server.url, ENVIRONMENT, GROUP) as flags:
        fence = (await begin(store)).epoch
        await climb(store, FULL, fence)
        await until(lambda: flags.is_enabled("basket", *KIM))
        before = await store.emergency(by="kim", reason="down")
        server.kill()
        own_server()

        async with store_at(server.url) as restarted:
            assert await snapshot_of(restarted) == before.snapshot
            assert (await to(restarted, INTERNAL, before.epoch)).status is StoreStatus.LATCHED
            assert (await restarted.verify_audit()).holds
            again = await restarted.rearm(epoch=before.epoch, by="kim", reason="mended")
        await until(lambda: flags.status().position == (again.epoch, again.rev))
        assert flags.status().counts.regressions == 0


async def test_a_server_that_came_back_empty_turns_everything_off_and_takes_no_fence_of_before(
    own_server: Callable[[], RedisServer], tmp_path: Path
) -> None:
    server = own_server()
    async with store_at(server.url) as store, Flags(server.url, ENVIRONMENT, GROUP) as flags:
        fence = (await begin(store)).epoch
        await climb(store, FULL, fence)
        await until(lambda: flags.is_enabled("basket", *KIM))

        server.kill()
        shutil.rmtree(tmp_path / "redis")
        own_server()
        await until(lambda: not flags.is_enabled("basket", *KIM))

        assert flags.status().limit is Limit.REGRESSED
        async with store_at(server.url) as restarted:
            assert await restarted.read() is None
            assert (await to(restarted, INTERNAL, fence)).status is StoreStatus.UNINITIALISED
            asserted = await restarted.emergency(by="guard", reason="the data are lost", min_epoch=fence + 1)
        assert asserted.epoch == fence + 1
        await until(lambda: flags.status().position == (asserted.epoch, asserted.rev))
        assert not flags.is_enabled("basket", *KIM)


@pytest.mark.parametrize("again", range(3))
async def test_a_server_killed_in_the_middle_of_changes_has_every_one_that_it_answered_and_no_half_of_another(
    own_server: Callable[[], RedisServer], again: int
) -> None:
    server = own_server()
    answered: dict[str, int] = {}

    async def change_until_the_server_is_gone(store: FlagStore, writer: int) -> str:
        number = 0
        while True:
            key, number = f"{writer}-{number}", number + 1
            try:
                reply = await store.emergency(by="kim", reason=key, idempotency_key=key)
            except RedisError:
                return key
            answered[key] = reply.rev

    async with store_at(server.url) as one, store_at(server.url) as two:
        changes = [asyncio.create_task(change_until_the_server_is_gone(store, n)) for n, store in enumerate((one, two))]
        await until(lambda: len(answered) >= 40 + 7 * again)
        server.kill()
        unknown = await asyncio.gather(*changes)
        own_server()

        for key in unknown:
            settled = await one.emergency(by="kim", reason=key, idempotency_key=key)
            answered[key] = settled.rev
        for key, rev in answered.items():
            replay = await one.emergency(by="kim", reason=key, idempotency_key=key)
            assert (replay.replayed, replay.rev) == (True, rev)
        client = connect(server.url)
        history = SerialHistory().walk(fields for _, fields in await commands(client).xrange(one.keys.audit))
        await client.aclose()
        assert (await one.verify_audit()).holds
        assert history.is_shown_by(await snapshot_of(one))
        assert history.reasons == set(answered)


@pytest.mark.parametrize(
    ("break_it", "happened"),
    [
        pytest.param(FaultyWire.tear_next_request, False, id="the request is torn"),
        pytest.param(FaultyWire.lose_next_answer, True, id="the answer is lost"),
    ],
)
async def test_a_change_whose_connection_breaks_happened_wholly_or_not_at_all_and_its_key_tells_which(
    server: RedisServer, store: FlagStore, break_it: Callable[[FaultyWire], None], happened: bool
) -> None:
    fence = (await begin(store)).epoch
    await climb(store, CANARY, fence)
    with FaultyWire(server.port) as wire:
        async with store_at(wire.url) as far:
            before = await far.read()
            break_it(wire)
            with pytest.raises(ConnectionBroken):
                await far.emergency(by="kim", reason="down", idempotency_key="a key")

            assert ((await store.read()) != before) is happened
            settled = await far.emergency(by="kim", reason="down", idempotency_key="a key")

    assert (settled.accepted, settled.replayed) == (True, happened)
    assert await shown(store) == {"off"}
    assert [entry.op for entry in await store.audit(100)].count("emergency") == 1


async def test_a_failover_that_lost_the_kill_switch_raises_nobody_who_had_heard_of_it_and_is_mended_by_a_higher_epoch(
    tmp_path: Path,
) -> None:
    primary = RedisServer.start(tmp_path / "primary", configuration={"repl-diskless-sync-delay": "0"})
    with FaultyWire(primary.port) as replication, FaultyWire(primary.port) as address:
        replica = RedisServer.start(tmp_path / "replica", configuration={"replicaof": f"{LOOPBACK} {replication.port}"})
        promoted = Redis.from_url(replica.url, decode_responses=True)
        try:
            async with (
                store_at(address.url) as store,
                store_at(replica.url) as copy,
                Flags(address.url, ENVIRONMENT, GROUP) as flags,
            ):
                await climb(store, CANARY, (await begin(store)).epoch)
                written = await snapshot_of(store)

                async def is_copied() -> bool:
                    return await copy.read() == written

                await until_all(lambda: [is_copied()])
                await until(lambda: flags.is_enabled("basket", *KIM))
                replication.silence()
                emergency = await store.emergency(by="kim", reason="down")
                await until(lambda: flags.status().position == (emergency.epoch, emergency.rev))

                primary.kill()
                await promoted.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
                address.lead_to(replica.port)
                await until(lambda: flags.status().limit is Limit.REGRESSED)

                assert await copy.read() == written, "the kill switch is lost in the store"
                assert not flags.is_enabled("basket", *KIM)
                with Flags(address.url, ENVIRONMENT, GROUP) as fresh:
                    await until(lambda: has_read(fresh))
                    # What nothing in the store alone can prevent, and the reason why a rollout keeps asserting.
                    assert fresh.is_enabled("basket", *KIM)

                    asserted = await copy.emergency(by="guard", reason="lost", min_epoch=emergency.epoch + 1)
                    await until(lambda: not fresh.is_enabled("basket", *KIM))
                    await until(lambda: flags.status().position == (asserted.epoch, asserted.rev))
                assert flags.status().limit is Limit.NONE
                assert (await to(copy, INTERNAL, emergency.epoch)).status is StoreStatus.STALE_EPOCH
        finally:
            await promoted.aclose()
            replica.stop()
            primary.stop()
