"""The kill switch of a whole environment."""

import pytest
from redis.asyncio import Redis

from flagstore.environment import emergency_all, groups_of
from flagstore.store import FlagStore, connect
from local.redis_server import RedisServer
from tests.flagstore.ground import CANARY, ENVIRONMENT, begin, climb, snapshot_of


@pytest.fixture
def stores(redis: Redis) -> list[FlagStore]:
    return [FlagStore(redis, ENVIRONMENT, group) for group in ("checkout", "search", "shop")]


async def test_every_group_that_ever_began_is_off_and_latched(redis: Redis, stores: list[FlagStore]) -> None:
    for store in stores:
        await climb(store, CANARY, (await begin(store)).epoch)

    switched = await emergency_all(redis, ENVIRONMENT, by="kim", reason="everything is down")

    assert switched.complete
    assert sorted(switched.replies) == ["checkout", "search", "shop"]
    for store in stores:
        snapshot = await snapshot_of(store)
        assert snapshot.latch
        assert {exposure.exposure for exposure in snapshot.flags.values()} == {"off"}


async def test_other_environments_are_left_alone(redis: Redis, stores: list[FlagStore]) -> None:
    rehearsal = FlagStore(redis, "rehearsal", "shop")
    await climb(rehearsal, CANARY, (await begin(rehearsal)).epoch)
    await begin(stores[0])

    await emergency_all(redis, ENVIRONMENT, by="kim", reason="everything is down")

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
        switched = await emergency_all(operator, ENVIRONMENT, by="kim", reason="everything is down")
    finally:
        await operator.aclose()
        await redis.acl_deluser("operator")

    assert sorted(switched.replies) == ["checkout", "shop"]
    assert list(switched.failed) == ["search"]
    assert not switched.complete
