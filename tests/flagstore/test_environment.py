"""A whole environment: its kill switch, and what single flags tell."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from flagstore.client import Flags
from flagstore.environment import groups_of
from flagstore.kill_switch import SwitchedOff, switch_off
from flagstore.store import FlagStore, StoreStatus, connect
from local.redis_server import RedisServer
from tests.flagstore.ground import (
    CANARY,
    ENVIRONMENT,
    FULL,
    GROUP,
    INTERNAL,
    OFF,
    begin,
    climb,
    shown,
    snapshot_of,
    to,
)
from tests.flagstore.waiting import until


async def everything_off(redis: Redis, *, within: timedelta = timedelta(0)) -> list[SwitchedOff]:
    stores = [FlagStore(redis, ENVIRONMENT, group) for group in await groups_of(redis, ENVIRONMENT)]
    return await switch_off(stores, by="kim", reason="everything is down", within=within, lease=timedelta(seconds=3))


@pytest.fixture
def stores(redis: Redis) -> list[FlagStore]:
    return [FlagStore(redis, ENVIRONMENT, group) for group in ("checkout", "search", "shop")]


async def test_every_group_that_ever_began_is_off_and_latched(redis: Redis, stores: list[FlagStore]) -> None:
    for store in stores:
        await climb(store, CANARY, (await begin(store)).epoch)

    switched = await everything_off(redis)

    assert [(outcome.group, outcome.flags, outcome.verified) for outcome in switched] == [
        ("checkout", 2, True),
        ("search", 2, True),
        ("shop", 2, True),
    ]
    for store in stores:
        snapshot = await snapshot_of(store)
        assert snapshot.latch
        assert {exposure.exposure for exposure in snapshot.flags.values()} == {"off"}


async def test_other_environments_are_left_alone(redis: Redis, stores: list[FlagStore]) -> None:
    rehearsal = FlagStore(redis, "rehearsal", "shop")
    await climb(rehearsal, CANARY, (await begin(rehearsal)).epoch)
    await begin(stores[0])

    await everything_off(redis)

    assert not (await snapshot_of(rehearsal)).latch
    assert await groups_of(redis, "rehearsal") == ["shop"]


async def test_a_group_that_cannot_be_switched_off_is_named_and_keeps_no_other_on(
    server: RedisServer, redis: Redis, stores: list[FlagStore]
) -> None:
    for store in stores:
        await begin(store)
    await redis.acl_setuser(
        "operator",
        enabled=True,
        nopass=True,
        commands=["+@all"],
        keys=["rf:*", "{rf:production:checkout}:*", "{rf:production:shop}:*"],
        channels=["*"],
    )
    operator = connect(server.url.replace("redis://", "redis://operator:any@"))
    try:
        switched = await everything_off(operator)
    finally:
        await operator.aclose()
        await redis.acl_deluser("operator")

    assert [(outcome.group, outcome.verified) for outcome in switched] == [
        ("checkout", True),
        ("search", False),
        ("shop", True),
    ]
    assert "no permissions" in switched[1].problem.lower()


async def test_an_emergency_tells_which_application_instances_have_confirmed_it(
    server: RedisServer, redis: Redis, store: FlagStore
) -> None:
    await climb(store, CANARY, (await begin(store)).epoch)
    await redis.hset(store.keys.acknowledgements, "web-dead", f"1:1:{2**50}")
    async with Flags(server.url, ENVIRONMENT, GROUP, instance="web-1") as flags:
        await until(lambda: flags.status().counts.push_connections == 1)
        (told,) = await everything_off(redis, within=timedelta(seconds=15))

    assert (told.group, told.confirmed, told.waiting) == (GROUP, ("web-1",), ())


async def test_a_group_whose_data_are_damaged_is_switched_off_with_the_others(
    redis: Redis, stores: list[FlagStore]
) -> None:
    for store in stores:
        await begin(store)
    await redis.set(stores[1].keys.snapshot, "no snapshot")

    switched = await everything_off(redis)

    assert [outcome.problem for outcome in switched] == ["", "", ""]
    assert (await snapshot_of(stores[1])).is_latched_off


async def test_a_person_who_insists_climbs_the_same_ladder_and_is_refused_by_the_latch(store: FlagStore) -> None:
    early = await store.override({"basket": INTERNAL}, by="kim", reason="a try")
    await begin(store)

    refused = await store.override({"basket": FULL}, by="kim", reason="at once")
    done = await store.override({"basket": INTERNAL}, by="kim", reason="a try")
    again = await store.override({"basket": INTERNAL}, by="kim", reason="a try")
    unknown = await store.override({"nonesuch": OFF}, by="kim", reason="a try")
    await store.emergency(by="kim", reason="down")
    latched = await store.override({"basket": INTERNAL}, by="kim", reason="a try")

    replies = (early, refused, done, again, unknown, latched)
    assert [reply.status for reply in replies] == [
        StoreStatus.UNINITIALISED,
        StoreStatus.STEP_TOO_LARGE,
        StoreStatus.OK,
        StoreStatus.UNCHANGED,
        StoreStatus.UNKNOWN_FLAG,
        StoreStatus.LATCHED,
    ]
    assert await shown(store) == {"off"}


async def test_the_history_of_a_flag_is_its_own_changes_newest_first(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    await store.set_exposures({"search": CANARY}, fence=fence, by="alex", reason="search alone")
    await store.set_exposures({"basket": OFF}, fence=0, by="kim", reason="basket alone")

    told = [(entry.op, entry.by, entry.reason) for entry in await store.history("search", 10)]

    assert told == [("set", "alex", "search alone"), ("set", "kim", "a stage"), ("begin", "kim", "")]
    assert len(await store.history("search", 1)) == 1
