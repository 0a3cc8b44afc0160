"""Services and flags belong to one rollout at a time, whatever plan it follows."""

import asyncio

from redis.asyncio import Redis

from flagstore.ownership import REGISTRY, Taken, claim, flag_claim, owned, release, service_claim

BACKEND = service_claim("projects/p/locations/l/services/backend")
BASKET = flag_claim("production", "basket")
ONE, OTHER = "rollout/one/1", "rollout/other/2"


async def test_what_one_rollout_has_no_other_gets_nor_anything_it_asks_for_beside_it(redis: Redis) -> None:
    assert await claim(redis, ONE, [BACKEND, BASKET]) == []

    taken = await claim(redis, OTHER, ["service x", BACKEND])

    assert taken == [Taken(BACKEND, ONE)]
    assert await owned(redis) == {BACKEND: ONE, BASKET: ONE}


async def test_an_attempt_that_is_repeated_is_no_conflict(redis: Redis) -> None:
    await claim(redis, ONE, [BACKEND])

    assert await claim(redis, ONE, [BACKEND]) == []


async def test_of_rollouts_that_begin_at_once_one_gets_everything_it_asks_for(redis: Redis) -> None:
    owners = [f"rollout/{number}/run" for number in range(8)]

    outcomes = await asyncio.gather(*(claim(redis, owner, [BACKEND, BASKET]) for owner in owners))

    assert list(outcomes).count([]) == 1
    assert len(set((await owned(redis)).values())) == 1


async def test_only_what_an_owner_has_is_given_back(redis: Redis) -> None:
    await claim(redis, ONE, [BACKEND])
    await claim(redis, OTHER, [BASKET])

    assert await release(redis, ONE) == [BACKEND]
    assert await release(redis, ONE) == []
    assert await owned(redis) == {BASKET: OTHER}


async def test_the_same_flag_name_of_another_environment_is_another_flag(redis: Redis) -> None:
    await claim(redis, ONE, [BASKET])

    assert await claim(redis, OTHER, [flag_claim("staging", "basket")]) == []


async def test_a_registry_that_somebody_overwrote_stops_nobody(redis: Redis) -> None:
    await redis.set(REGISTRY, "no hash")

    assert await release(redis, ONE) == []
    await redis.set(REGISTRY, "no hash")
    assert await claim(redis, ONE, [BACKEND]) == []
    assert await owned(redis) == {BACKEND: ONE}
