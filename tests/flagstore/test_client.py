"""What an application's flags do, between a real server and a wire that fails."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from flagstore.answers import Happening
from flagstore.client import Flags
from flagstore.held import Leases, Limit
from flagstore.store import FlagStore, StoreStatus
from local.ports import LOOPBACK, free_port
from local.redis_server import RedisServer
from tests.flagstore.faulty_wire import FaultyWire
from tests.flagstore.ground import (
    CANARY,
    ENVIRONMENT,
    FULL,
    GROUP,
    INTERNAL,
    KIM,
    LADDER,
    begin,
    climb,
    flags_by,
    has_read,
    snapshot_of,
    to,
)
from tests.flagstore.waiting import until

SHORT_LEASES = Leases(partial=timedelta(seconds=1.5), full=timedelta(seconds=3))


@pytest.fixture
def wire(server: RedisServer) -> Iterator[FaultyWire]:
    with FaultyWire(server.port) as between:
        yield between


def follows(flags: Flags) -> bool:
    """Whether it is subscribed, and has read what was there before that."""
    counts = flags.status().counts
    return counts.push_connections == 1 and counts.reads >= 2


async def test_a_change_is_pushed_and_acknowledged(server: RedisServer, store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    async with flags_by(server.url, instance="web-1") as flags:
        await until(lambda: follows(flags))
        assert not flags.is_enabled("basket", *KIM)

        reply = await to(store, INTERNAL, fence)
        await until(lambda: flags.is_enabled("basket", *KIM))

        await until(lambda: flags.status().counts.pushes == 1)
        told = await store.confirmed_by_applications(
            (reply.epoch, reply.rev), within=timedelta(seconds=15), lease=timedelta(seconds=60)
        )
        assert (told.confirmed, told.complete) == (("web-1",), True)
    assert await store.acknowledgements() == {}


async def test_a_message_that_was_missed_is_found_by_reading_and_the_next_is_pushed_again(
    store: FlagStore, wire: FaultyWire
) -> None:
    fence = (await begin(store)).epoch
    async with flags_by(wire.url) as flags:
        await until(lambda: follows(flags))
        wire.silence_present_connections()

        await to(store, INTERNAL, fence)
        await until(lambda: flags.is_enabled("basket", *KIM))
        assert flags.status().counts.pushes == 0

        await until(lambda: flags.status().counts.push_connections == 2)
        await store.emergency(by="kim", reason="down")
        await until(lambda: not flags.is_enabled("basket", *KIM))
        await until(lambda: flags.status().counts.pushes == 1)


async def test_what_was_written_while_the_connections_were_cut_is_found_on_subscribing_again(
    store: FlagStore, wire: FaultyWire
) -> None:
    fence = (await begin(store)).epoch
    async with flags_by(wire.url) as flags:
        await until(lambda: follows(flags))
        wire.cut()
        reply = await to(store, INTERNAL, fence)

        await until(lambda: flags.status().counts.push_connections == 2)
        await until(lambda: flags.status().position == (reply.epoch, reply.rev))


async def test_a_late_push_of_an_older_state_is_ignored(server: RedisServer, store: FlagStore, redis: Redis) -> None:
    fence = (await begin(store)).epoch
    await climb(store, CANARY, fence)
    late = (await snapshot_of(store)).model_dump_json()
    await store.emergency(by="kim", reason="down")
    newest = await snapshot_of(store)
    async with flags_by(server.url) as flags:
        await until(lambda: follows(flags))
        await redis.publish(store.keys.channel, late)
        await redis.publish(store.keys.channel, "no snapshot at all")
        await redis.publish(store.keys.channel, late)
        await until(lambda: flags.status().counts.pushes == 2)

        assert flags.snapshot == newest
        assert flags.status().limit is Limit.NONE


async def test_a_store_that_lost_writes_raises_nobody_until_a_newer_position(
    server: RedisServer, store: FlagStore, redis: Redis
) -> None:
    fence = (await begin(store)).epoch
    await climb(store, FULL, fence)
    lost_to = (await snapshot_of(store)).model_dump_json()
    await store.emergency(by="kim", reason="down")
    happened: list[Happening] = []
    async with flags_by(server.url, listener=lambda what, _snapshot, _changed: happened.append(what)) as flags:
        await until(lambda: has_read(flags))
        await redis.set(store.keys.snapshot, lost_to)
        await until(lambda: flags.status().limit is Limit.REGRESSED)
        assert not flags.is_enabled("basket", *KIM)
        await until(lambda: Happening.REGRESSED in happened)

        again = await store.emergency(by="guard", reason="the latch was lost", min_epoch=99)
        await until(lambda: flags.status().position == (99, again.rev))
        assert flags.status().limit is Limit.NONE
        assert flags.status().counts.regressions == 1


async def test_a_store_that_was_emptied_turns_everything_off(
    server: RedisServer, store: FlagStore, redis: Redis
) -> None:
    fence = (await begin(store)).epoch
    await climb(store, FULL, fence)
    async with flags_by(server.url) as flags:
        await until(lambda: has_read(flags))
        assert flags.is_enabled("basket", *KIM)
        await redis.flushall()
        await until(lambda: not flags.is_enabled("basket", *KIM))
        assert flags.status().limit is Limit.REGRESSED


async def test_a_silent_store_keeps_its_last_state_for_a_lease_first_for_some_then_for_everybody(
    store: FlagStore, wire: FaultyWire
) -> None:
    fence = (await begin(store)).epoch
    await climb(store, CANARY, fence)
    for step in LADDER[3:]:
        await store.set_exposures({"search": step}, fence=fence, by="kim", reason="a stage")
    happened: list[Happening] = []
    async with flags_by(
        wire.url, leases=SHORT_LEASES, listener=lambda what, _snapshot, _changed: happened.append(what)
    ) as flags:
        await until(lambda: has_read(flags))
        wire.silence()
        seen = [(Limit.NONE, flags.is_enabled("basket", *KIM), flags.is_enabled("search", "anybody"))]
        for limit in (Limit.PARTIAL_LEASE_OVER, Limit.FULL_LEASE_OVER):
            await until(lambda limit=limit: flags.status().limit is limit)  # type: ignore[misc]
            seen.append((limit, flags.is_enabled("basket", *KIM), flags.is_enabled("search", "anybody")))
        await until(lambda: happened[-1:] == [Happening.STALE])

        wire.speak()
        await until(lambda: flags.is_enabled("basket", *KIM) and flags.is_enabled("search", "anybody"))
        await until(lambda: happened[-1] is Happening.READY)

    assert seen == [
        (Limit.NONE, True, True),
        (Limit.PARTIAL_LEASE_OVER, False, True),
        (Limit.FULL_LEASE_OVER, False, False),
    ]


async def test_an_instance_that_hears_nothing_is_waited_for_until_its_lease_is_over(
    store: FlagStore, wire: FaultyWire
) -> None:
    await begin(store)
    async with flags_by(wire.url, instance="web-1") as flags:
        await until(lambda: follows(flags))
        assert "web-1" in await store.acknowledgements()
        wire.silence()
        reply = await store.emergency(by="kim", reason="down")
        position = (reply.epoch, reply.rev)

        asked_shortly = await store.confirmed_by_applications(position, within=timedelta(), lease=timedelta(seconds=60))
        asked_for_a_lease = await store.confirmed_by_applications(
            position, within=timedelta(seconds=15), lease=timedelta(seconds=0.3)
        )

    assert (asked_shortly.waiting, asked_shortly.complete) == (("web-1",), False)
    assert (asked_for_a_lease.expired, asked_for_a_lease.complete) == (("web-1",), True)


async def test_a_store_that_cannot_be_reached_at_the_start_means_off_and_is_followed_once_it_is_there(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with flags_by(f"redis://{LOOPBACK}:{port}/0") as flags:
        found = flags.details("basket", *KIM)
        assert (found.enabled, found.reason, found.limit) == (False, "NOT_READY", Limit.NOT_READY)
        assert not flags.is_enabled("basket", *KIM)
        assert flags.snapshot is None

        server = RedisServer.start(tmp_path, port)
        try:
            client = Redis.from_url(server.url, decode_responses=True)
            store = FlagStore(client, ENVIRONMENT, GROUP)
            fence = (await begin(store)).epoch
            await to(store, INTERNAL, fence)
            await client.aclose()
            await until(lambda: flags.is_enabled("basket", *KIM))
        finally:
            server.stop()


async def test_a_dead_man_that_is_not_renewed_turns_off_what_the_store_still_says_is_on(
    server: RedisServer, store: FlagStore
) -> None:
    fence = (await begin(store, deadman=timedelta(seconds=1.5))).epoch
    await to(store, INTERNAL, fence)
    async with flags_by(server.url) as flags:
        await until(lambda: flags.is_enabled("basket", *KIM))
        await until(lambda: not flags.is_enabled("basket", *KIM))
        assert flags.status().limit in {Limit.DEADMAN, Limit.FULL_LEASE_OVER}
        assert (await snapshot_of(store)).flags["basket"] == INTERNAL

        assert (await store.renew_lease(fence=fence)).status is StoreStatus.OK
        await until(lambda: flags.is_enabled("basket", *KIM))
