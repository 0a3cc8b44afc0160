"""What a rollout and an on-call person rely on, held against a real server."""

import pytest
from redis.asyncio import Redis

from flagstore.environment import groups_of
from flagstore.keys import groups_key
from flagstore.store import FlagStore, StoreStatus
from tests.flagstore.ground import CANARY, FULL, INTERNAL, OFF, STAGED, begin, shown, snapshot_of, to

CANDIDATES = {"backend": "shop:2"}


async def test_every_rollout_gets_a_higher_fence_and_begins_with_everything_off(store: FlagStore) -> None:
    first = await begin(store)
    await store.release(owner="rollout/shop/1", outcome="completed")
    second = await begin(store, owner="rollout/shop/2")

    assert second.epoch > first.epoch
    assert await shown(store) == {"off"}


async def test_a_write_with_an_older_fence_raises_nothing(store: FlagStore) -> None:
    late = (await begin(store)).epoch
    await store.release(owner="rollout/shop/1", outcome="completed")
    await begin(store, owner="rollout/shop/2")

    reply = await to(store, INTERNAL, late)

    assert reply.status is StoreStatus.STALE_EPOCH
    assert await shown(store) == {"off"}


async def test_after_an_emergency_nothing_is_raised_by_any_fence_until_a_rearm(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    emergency = await store.emergency(by="kim", reason="down")

    replies = [await to(store, INTERNAL, tried) for tried in (fence, emergency.epoch, emergency.epoch + 1)]

    assert not any(reply.accepted for reply in replies)
    assert await shown(store) == {"off"}


async def test_a_rearm_of_an_older_incident_is_refused_and_a_right_one_exposes_nobody(store: FlagStore) -> None:
    await begin(store)
    first = await store.emergency(by="kim", reason="down")
    second = await store.emergency(by="alex", reason="still down")

    early = await store.rearm(epoch=first.epoch, by="kim", reason="fixed")
    right = await store.rearm(epoch=second.epoch, by="kim", reason="fixed")

    assert (early.status, right.accepted) == (StoreStatus.STALE_EPOCH, True)
    assert await shown(store) == {"off"}


async def test_several_flags_are_set_together_or_not_at_all(store: FlagStore) -> None:
    fence = (await begin(store)).epoch

    reply = await store.set_exposures(
        {"basket": INTERNAL, "unknown": INTERNAL}, fence=fence, by="kim", reason="a stage"
    )

    assert reply.status is StoreStatus.UNKNOWN_FLAG
    assert await shown(store) == {"off"}


async def test_up_is_one_step_of_the_ladder_and_down_is_any(store: FlagStore) -> None:
    fence = (await begin(store)).epoch

    skipped = await to(store, CANARY, fence)
    climbed = [await to(store, step, fence) for step in (INTERNAL, CANARY, STAGED, FULL)]
    down = await to(store, INTERNAL, fence)

    assert skipped.status is StoreStatus.STEP_TOO_LARGE
    assert all(reply.accepted for reply in (*climbed, down))


async def test_a_flag_that_somebody_else_changed_is_not_overwritten(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)

    reply = await store.set_exposures(
        {"basket": CANARY}, expected={"basket": OFF}, fence=fence, by="kim", reason="a stage"
    )

    assert reply.status is StoreStatus.CONFLICT


async def test_a_retried_write_changes_the_store_once(store: FlagStore) -> None:
    fence = (await begin(store)).epoch

    first = await to(store, INTERNAL, fence, idempotency_key="stage-2")
    again = await to(store, INTERNAL, fence, idempotency_key="stage-2")

    snapshot = await snapshot_of(store)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.rev == again.rev == snapshot.rev


@pytest.mark.parametrize("key", ["meta", "flags", "snap", "audit", "safety"])
async def test_an_emergency_is_accepted_whatever_was_broken(store: FlagStore, redis: Redis, key: str) -> None:
    await begin(store)
    name = f"{{rf:production:shop}}:{key}"
    await redis.delete(name)
    await redis.lpush(name, "not what it should be")

    reply = await store.emergency(by="kim", reason="down")

    snapshot = await store.read()
    assert reply.accepted
    assert snapshot is not None
    assert snapshot.latch


async def test_an_emergency_works_on_an_empty_store_and_keeps_the_epoch_it_is_told(store: FlagStore) -> None:
    reply = await store.emergency(by="kim", reason="down", min_epoch=41)

    snapshot = await snapshot_of(store)
    assert (reply.epoch, snapshot.epoch, snapshot.latch) == (41, 41, True)


@pytest.mark.parametrize("damage", [False, True], ids=["the list is lost", "the list is no list"])
async def test_an_emergency_in_a_store_that_lost_its_data_lists_the_group_again_for_whoever_looks_for_it(
    store: FlagStore, redis: Redis, damage: bool
) -> None:
    await redis.flushdb()
    if damage:
        await redis.set(groups_key(store.keys.environment), "no list")

    reply = await store.emergency(by="kim", reason="checkout is down", min_epoch=7)

    assert reply.accepted
    if not damage:
        assert await groups_of(redis, store.keys.environment) == [store.keys.group]


async def test_a_group_has_one_owner_who_is_named_to_others(store: FlagStore) -> None:
    await begin(store)

    reply = await begin(store, owner="rollout/shop/other")

    assert reply.status is StoreStatus.OWNED
    assert "rollout/shop/1" in reply.sentence


async def test_a_candidate_that_was_taken_back_is_refused_until_somebody_says_why_again(store: FlagStore) -> None:
    await begin(store, candidates=CANDIDATES)
    await store.refuse_candidates({"backend": "shop:2"}, by="kim", reason="errors")
    await store.release(owner="rollout/shop/1", outcome="rolled_back")

    refused = await begin(store, owner="rollout/shop/2", candidates=CANDIDATES)
    again = await begin(store, owner="rollout/shop/3", candidates=CANDIDATES, again="it was the database")

    assert refused.status is StoreStatus.REFUSED_CANDIDATE
    assert again.accepted


async def test_an_emergency_refuses_the_candidate_of_the_last_rollout_whether_or_not_it_still_runs(
    store: FlagStore,
) -> None:
    await begin(store, candidates=CANDIDATES)
    await store.release(owner="rollout/shop/1", outcome="completed")
    emergency = await store.emergency(by="kim", reason="down")
    assert (await store.rearm(epoch=emergency.epoch, by="kim", reason="over")).accepted

    refused = await begin(store, owner="rollout/shop/2", candidates=CANDIDATES)
    others = await begin(store, owner="rollout/shop/3", candidates={"backend": "shop:3"})

    assert refused.status is StoreStatus.REFUSED_CANDIDATE
    assert (await store.read_safety()).refused == {"backend=shop:2": "kim: down"}
    assert others.accepted


async def test_a_candidate_that_took_the_place_of_another_is_the_one_that_an_emergency_refuses(
    store: FlagStore,
) -> None:
    fence = (await begin(store, candidates=CANDIDATES)).epoch
    await store.record_anchors(fence=fence, anchors={}, candidates={"backend": "shop:hotfix"})
    await store.emergency(by="kim", reason="down")

    assert set((await store.read_safety()).refused) == {"backend=shop:hotfix"}


async def test_beside_a_worker_of_before_an_emergency_refuses_nobody_for_what_another_rollout_brought(
    store: FlagStore, redis: Redis
) -> None:
    epoch = (await begin(store, candidates=CANDIDATES)).epoch
    await store.release(owner="rollout/shop/1", outcome="completed")
    # What `begin` of a version that kept no candidates leaves in this hash.
    await redis.hset(store.keys.safety, mapping={"owner": "rollout/shop/2", "fence": epoch + 1})

    await store.emergency(by="kim", reason="down")

    safety = await store.read_safety()
    assert (safety.candidates, safety.refused) == ({}, {})


async def test_a_second_emergency_still_says_whom_it_refuses(store: FlagStore) -> None:
    await begin(store, candidates=CANDIDATES)
    for _ in range(2):
        await store.emergency(by="kim", reason="down")
        assert (await store.read_safety()).candidates == CANDIDATES


async def test_an_emergency_does_not_refuse_what_never_served_because_its_start_was_refused(store: FlagStore) -> None:
    await begin(store, candidates=CANDIDATES)
    await store.release(owner="rollout/shop/1", outcome="refused")
    await store.emergency(by="kim", reason="down")

    assert (await store.read_safety()).refused == {}


async def test_a_fixed_service_may_come_with_the_other_that_was_taken_back_with_it(store: FlagStore) -> None:
    await store.refuse_candidates({"backend": "shop:2", "auth": "auth:2"}, by="kim", reason="errors")

    fixed = await begin(store, candidates={"backend": "shop:3", "auth": "auth:2"})

    assert fixed.accepted


async def test_anchors_are_kept_beside_the_flags_for_whoever_goes_back_without_temporal(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await store.record_anchors(fence=fence, anchors={"backend": '{"stable": "backend-1"}'})

    safety = await store.read_safety()

    assert safety.anchors == {"backend": '{"stable": "backend-1"}'}
    assert safety.fence == fence
