"""The kill switch works from every state of the database, and what was on comes back only by a person's word."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from flagstore.store import DamagedStore, FlagStore, StoreStatus, connect
from local.redis_server import RedisServer
from tests.flagstore.ground import (
    CANARY,
    ENVIRONMENT,
    FLAGS,
    GROUP,
    INTERNAL,
    OFF,
    OWNER,
    begin,
    climb,
    shown,
    snapshot_of,
    to,
)

FAMILY = f"{{rf:{ENVIRONMENT}:{GROUP}}}"
KEYS = ("meta", "flags", "snap", "audit", "safety", "acks", "lease")


async def is_safe(store: FlagStore) -> bool:
    snapshot = await snapshot_of(store)
    return snapshot.latch and set(snapshot.flags.values()) <= {OFF}


@pytest.mark.parametrize("key", KEYS)
async def test_a_key_of_a_wrong_type_is_removed_and_told(store: FlagStore, redis: Redis, key: str) -> None:
    await climb(store, CANARY, (await begin(store)).epoch)
    await redis.delete(f"{FAMILY}:{key}")
    await redis.sadd(f"{FAMILY}:{key}", "not what it should be")

    refused = await store.release(owner=OWNER, outcome="completed")
    emergency = await store.emergency(by="kim", reason="down")

    assert refused.status is StoreStatus.DAMAGED
    assert f"{FAMILY}:{key}" in refused.sentence
    assert emergency.accepted
    assert f"removed {FAMILY}:{key} of type set" in emergency.detail
    assert await is_safe(store)


JUNK = st.one_of(
    st.sampled_from(["", "nan", "inf", "-1", "1e400", "null", "[]", "{}", '"text"', "9" * 30, "\x00", "true"]),
    st.sampled_from(['{"epoch":-5,"rev":[],"flags":[1]}', '{"epoch":7.5,"flags":{"basket":1}}', '{"digest":1}']),
    st.sampled_from(['{"basket":{"exposure":"all"}}', '{"basket":[]}', '{"exposure":"percent","bp":0.5,"stage":"x"}']),
    st.text(max_size=12),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    meta=st.dictionaries(st.sampled_from(["epoch", "rev", "latch", "head", "cohort", "audience", "ladders"]), JUNK),
    documents=st.dictionaries(st.sampled_from([*FLAGS, "stranger"]), JUNK),
    safety=st.dictionaries(
        st.sampled_from(["owner", "fence", "former", "before", "anchors", "candidates", "stages"]), JUNK
    ),
    snapshot=JUNK,
    idempotency=JUNK,
)
async def test_no_content_of_the_keys_stops_an_emergency_or_the_rearm_after_it(
    server: RedisServer,
    meta: dict[str, str],
    documents: dict[str, str],
    safety: dict[str, str],
    snapshot: str,
    idempotency: str,
) -> None:
    redis = connect(server.url)
    try:
        await redis.flushall()
        store = FlagStore(redis, ENVIRONMENT, GROUP)
        await climb(store, CANARY, (await begin(store)).epoch)
        for key, fields in (("meta", meta), ("flags", documents), ("safety", safety)):
            for field, value in fields.items():
                await redis.hset(f"{FAMILY}:{key}", field, value)
        await redis.set(f"{FAMILY}:snap", snapshot)
        await redis.set(f"{FAMILY}:idem:a key", idempotency)

        reply = await store.emergency(by="kim", reason="down", idempotency_key="a key")

        assert reply.accepted
        assert not reply.replayed
        assert await is_safe(store)
        assert (await store.read_safety()).latched_by == "kim: down"
        rearmed = await store.rearm(epoch=reply.epoch, by="kim", reason="fixed", restore=True)
        assert rearmed.accepted
        assert not (await snapshot_of(store)).latch
    finally:
        await redis.aclose()


@pytest.mark.parametrize(
    "junk", ["", "[]", "null", "no JSON", '{"backend":1e400}', '{"backend":["shop:2"]}', '{"basket":{"basket":1}}']
)
@pytest.mark.parametrize("field", ["anchors", "candidates", "before", "former", "stages"])
async def test_a_damaged_record_keeps_nobody_from_reading_the_others_after_an_emergency(
    store: FlagStore, redis: Redis, field: str, junk: str
) -> None:
    fence = (await begin(store, candidates={"backend": "shop:2"})).epoch
    await store.record_anchors(fence=fence, anchors={"backend": "{}"})
    await store.emergency(by="kim", reason="down")
    await redis.hset(f"{FAMILY}:safety", field, junk)

    emergency = await store.emergency(by="kim", reason="still down")

    safety = await store.read_safety()
    assert safety.latched_by == "kim: still down"
    assert safety.anchors == ({} if field == "anchors" else {"backend": "{}"})
    assert safety.candidates == ({} if field == "candidates" else {"backend": "shop:2"})
    assert await store.stages() == {}
    assert f"removed {field} of {FAMILY}:safety" in emergency.detail


async def test_documents_that_are_none_are_refused_by_name_until_an_emergency(store: FlagStore, redis: Redis) -> None:
    fence = (await begin(store)).epoch
    await redis.hset(f"{FAMILY}:flags", "basket", "{}")

    refused = await to(store, INTERNAL, fence)

    assert refused.status is StoreStatus.DAMAGED
    assert "basket" in refused.sentence
    assert (await store.emergency(by="kim", reason="down")).accepted


async def test_a_snapshot_that_is_none_is_told_on_reading(store: FlagStore, redis: Redis) -> None:
    await begin(store)
    await redis.set(f"{FAMILY}:snap", "{}")

    with pytest.raises(
        DamagedStore, match=r"\(the stored text is no flag snapshot: v: Field required, and 8 more\); an em"
    ):
        await store.read()

    await redis.delete(f"{FAMILY}:snap")
    await redis.sadd(f"{FAMILY}:snap", "not what it should be")

    with pytest.raises(DamagedStore, match="an emergency of shop repairs it"):
        await store.read()

    await redis.set(f"{FAMILY}:snap", b"\xff is no text")

    with pytest.raises(DamagedStore, match="an emergency of shop repairs it"):
        await store.read()


async def test_the_epoch_rises_above_all_that_any_surviving_key_knows(store: FlagStore, redis: Redis) -> None:
    await begin(store, min_epoch=50)
    await redis.delete(f"{FAMILY}:meta")

    by_snapshot = await store.emergency(by="kim", reason="down")
    await redis.delete(f"{FAMILY}:meta", f"{FAMILY}:snap")
    by_safety = await store.emergency(by="kim", reason="still down")

    assert (by_snapshot.epoch, by_safety.epoch) == (51, 52)


async def test_flags_whose_documents_are_lost_are_off_by_name(store: FlagStore, redis: Redis) -> None:
    await climb(store, CANARY, (await begin(store)).epoch)
    await redis.delete(f"{FAMILY}:flags")

    await store.emergency(by="kim", reason="down")

    assert dict((await snapshot_of(store)).flags) == dict.fromkeys(FLAGS, OFF)


async def test_a_server_whose_memory_is_full_still_takes_an_emergency(store: FlagStore, redis: Redis) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    try:
        await redis.config_set("maxmemory", "1")
        with pytest.raises(ResponseError, match="command not allowed when used memory"):
            await to(store, CANARY, fence)

        reply = await store.emergency(by="kim", reason="down")

        assert reply.accepted
        assert await is_safe(store)
    finally:
        await redis.config_set("maxmemory", "0")


async def test_an_audit_trail_that_takes_no_entry_is_begun_anew(store: FlagStore, redis: Redis) -> None:
    await begin(store)
    await redis.xadd(f"{FAMILY}:audit", {"body": "{}"}, id="18446744073709551615-18446744073709551615")

    reply = await store.emergency(by="kim", reason="down")

    assert reply.accepted
    assert [entry.op for entry in await store.audit(10)] == ["emergency"]


async def test_what_is_published_is_what_is_stored(store: FlagStore, redis: Redis) -> None:
    await begin(store)
    async with redis.pubsub() as channel:
        await channel.subscribe(store.keys.channel)
        await channel.get_message(timeout=1)

        await store.emergency(by="kim", reason="down")

        message = await channel.get_message(ignore_subscribe_messages=True, timeout=1)
        assert message is not None
        assert message["data"] == await redis.get(store.keys.snapshot)
        assert json.loads(message["data"])["latch"] is True


async def test_a_rearm_restores_what_was_shown_only_if_it_is_asked_to(store: FlagStore) -> None:
    await climb(store, CANARY, (await begin(store)).epoch)
    first = await store.emergency(by="kim", reason="down")
    await store.rearm(epoch=first.epoch, by="kim", reason="fixed")

    assert await shown(store) == {"off"}

    await store.release(owner=OWNER, outcome="rolled_back")
    await climb(store, CANARY, (await begin(store, "rollout/shop/2")).epoch)
    second = await store.emergency(by="kim", reason="down again")
    await store.rearm(epoch=second.epoch, by="kim", reason="it was the network", restore=True)

    assert await shown(store) == {"canary"}


async def test_a_second_emergency_does_not_forget_what_the_first_turned_off(store: FlagStore) -> None:
    await climb(store, CANARY, (await begin(store)).epoch)
    await store.emergency(by="kim", reason="down")
    second = await store.emergency(by="alex", reason="still down")

    await store.rearm(epoch=second.epoch, by="kim", reason="it was the network", restore=True)

    assert await shown(store) == {"canary"}


async def test_a_rearm_leaves_the_group_to_nobody_and_its_old_fence_dead(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    emergency = await store.emergency(by="kim", reason="down")
    await store.rearm(epoch=emergency.epoch, by="kim", reason="fixed")

    late = await to(store, INTERNAL, fence)
    next_one = await begin(store, "rollout/shop/2")

    assert late.status is StoreStatus.STALE_EPOCH
    assert next_one.accepted
    assert next_one.epoch > emergency.epoch


async def test_a_group_that_is_not_latched_has_nothing_to_rearm(store: FlagStore) -> None:
    began = await begin(store)

    assert (await store.rearm(epoch=began.epoch, by="kim", reason="fixed")).status is StoreStatus.NOT_LATCHED


async def test_an_emergency_that_is_repeated_under_its_key_happens_once(store: FlagStore) -> None:
    await begin(store)

    first = await store.emergency(by="kim", reason="down", idempotency_key="a key")
    again = await store.emergency(by="kim", reason="down", idempotency_key="a key")

    assert (again.replayed, again.epoch, again.rev) == (True, first.epoch, first.rev)
    assert (await snapshot_of(store)).position == (first.epoch, first.rev)


async def test_a_replayed_answer_comes_with_the_documents_of_now(store: FlagStore) -> None:
    await begin(store)
    first = await store.emergency(by="kim", reason="down", idempotency_key="a key")
    await store.rearm(epoch=first.epoch, by="kim", reason="fixed")

    again = await store.emergency(by="kim", reason="down", idempotency_key="a key")

    assert again.accepted
    assert again.snapshot is not None
    assert not again.snapshot.latch
