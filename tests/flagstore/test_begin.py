"""Taking a group: its fence, its ladder, and what another rollout finds."""

from datetime import timedelta

import pytest

from flagstore.store import FlagStore, StoreStatus
from tests.flagstore.ground import (
    CANARY,
    ENVIRONMENT,
    FLAGS,
    INTERNAL,
    LADDER,
    OFF,
    OWNER,
    begin,
    climb,
    shown,
    snapshot_of,
    to,
)


async def test_an_empty_database_is_initialised_with_every_flag_off(store: FlagStore) -> None:
    assert await store.read() is None

    reply = await begin(store)

    snapshot = await snapshot_of(store)
    assert (reply.status, reply.epoch, reply.rev) == (StoreStatus.OK, 1, 1)
    assert dict(snapshot.flags) == dict.fromkeys(FLAGS, OFF)
    assert snapshot.audience.domains == ("example.com",)
    assert reply.snapshot == snapshot


async def test_the_owner_that_begins_again_has_the_fence_it_had(store: FlagStore) -> None:
    first = await begin(store)
    await to(store, INTERNAL, first.epoch)

    again = await begin(store)

    assert (again.status, again.epoch, again.accepted) == (StoreStatus.UNCHANGED, first.epoch, True)
    assert await shown(store) == {"internal"}


async def test_the_owner_that_knows_of_a_higher_epoch_gets_a_fence_above_it(store: FlagStore) -> None:
    await begin(store)

    again = await begin(store, min_epoch=7)

    assert (again.status, again.epoch) == (StoreStatus.OK, 7)


async def test_a_rollout_begins_above_the_epoch_it_is_told(store: FlagStore) -> None:
    assert (await begin(store, min_epoch=41)).epoch == 41


async def test_a_group_without_flags_has_owner_fence_and_latch_like_any_other(store: FlagStore) -> None:
    began = await begin(store, flags=())
    anchored = await store.record_anchors(fence=began.epoch, anchors={"backend": "{}"})
    emergency = await store.emergency(by="kim", reason="down")

    assert all(reply.accepted for reply in (began, anchored, emergency))
    assert dict((await snapshot_of(store)).flags) == {}
    assert (await begin(store, "rollout/shop/2", flags=())).status is StoreStatus.LATCHED


async def test_flags_that_left_the_plan_are_gone_and_new_ones_are_off(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    await store.release(owner=OWNER, outcome="completed")

    await begin(store, "rollout/shop/2", flags=("search", "recommendations"))

    assert dict((await snapshot_of(store)).flags) == {"search": OFF, "recommendations": OFF}


async def test_what_was_exposed_before_the_rollout_is_kept_for_the_record(store: FlagStore) -> None:
    await climb(store, CANARY, (await begin(store)).epoch)
    await store.release(owner=OWNER, outcome="completed")

    await begin(store, "rollout/shop/2")

    assert (await store.read_safety()).flags_before == dict.fromkeys(FLAGS, CANARY)


async def test_a_flag_may_have_a_ladder_of_its_own(store: FlagStore) -> None:
    began = await begin(store, ladder={"basket": LADDER, "search": (OFF, CANARY)})

    reply = await store.set_exposures(
        {"basket": INTERNAL, "search": CANARY}, fence=began.epoch, by="kim", reason="a stage"
    )

    assert reply.accepted
    assert await shown(store) == {"internal", "canary"}


async def test_the_order_in_which_a_ladder_is_written_does_not_matter(store: FlagStore) -> None:
    began = await begin(store, ladder=tuple(reversed(LADDER)))

    assert (await to(store, CANARY, began.epoch)).status is StoreStatus.STEP_TOO_LARGE
    assert (await climb(store, CANARY, began.epoch)).accepted


async def test_a_latched_group_says_who_latched_it_and_why(store: FlagStore) -> None:
    await begin(store)
    await store.emergency(by="kim", reason="checkout is down")

    reply = await begin(store, "rollout/shop/2")

    assert reply.status is StoreStatus.LATCHED
    assert "kim: checkout is down" in reply.sentence


async def test_giving_back_what_somebody_else_owns_changes_nothing(store: FlagStore) -> None:
    await begin(store)

    reply = await store.release(owner="rollout/shop/other", outcome="completed")

    assert reply.status is StoreStatus.UNCHANGED
    assert (await store.read_safety()).owner == OWNER


async def test_anchors_of_an_older_rollout_are_refused(store: FlagStore) -> None:
    late = (await begin(store)).epoch
    await store.release(owner=OWNER, outcome="completed")
    current = (await begin(store, "rollout/shop/2")).epoch
    await store.record_anchors(fence=current, anchors={"backend": "new"})

    reply = await store.record_anchors(fence=late, anchors={"backend": "old"})

    assert reply.status is StoreStatus.STALE_EPOCH
    assert (await store.read_safety()).anchors == {"backend": "new"}


async def test_nothing_but_a_rollout_or_an_emergency_begins_a_group(store: FlagStore) -> None:
    replies = [
        await to(store, INTERNAL, 1),
        await store.rearm(epoch=0, by="kim", reason="fixed"),
        await store.record_anchors(fence=1, anchors={}),
        await store.refuse_candidates({"backend": "shop:2"}, by="kim", reason="errors"),
        await store.release(owner=OWNER, outcome="completed"),
        await store.renew_lease(fence=1),
    ]

    assert {reply.status for reply in replies} == {StoreStatus.UNINITIALISED}
    assert await store.read() is None


async def test_a_fence_that_the_store_has_forgotten_is_told_as_lost_writes(store: FlagStore) -> None:
    await begin(store)

    reply = await to(store, INTERNAL, 9)

    assert reply.status is StoreStatus.LOST_WRITES
    assert "lost writes" in reply.sentence
    assert await shown(store) == {"off"}


async def test_setting_what_is_set_is_accepted_and_makes_no_revision(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    first = await to(store, INTERNAL, fence)

    again = await to(store, INTERNAL, fence)

    assert (again.status, again.rev) == (StoreStatus.UNCHANGED, first.rev)


async def test_turning_off_needs_neither_fence_nor_order(store: FlagStore) -> None:
    await climb(store, CANARY, (await begin(store)).epoch)

    reply = await to(store, OFF, 0)

    assert reply.accepted
    assert await shown(store) == {"off"}


async def test_a_key_that_was_used_for_something_else_is_refused(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence, idempotency_key="a key")

    reply = await to(store, OFF, fence, idempotency_key="a key")

    assert reply.status is StoreStatus.IDEM_MISMATCH
    assert await shown(store) == {"internal"}


async def test_attempts_of_one_request_are_one_request(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    replies = [
        await store.set_exposures(
            {"basket": INTERNAL}, fence=fence, by="kim", reason="r", attempt=attempt, idempotency_key="a key"
        )
        for attempt in (1, 2, 3)
    ]

    assert [reply.replayed for reply in replies] == [False, True, True]
    assert {(reply.status, reply.epoch, reply.rev) for reply in replies} == {(StoreStatus.OK, 1, 2)}


@pytest.mark.parametrize(
    ("environment", "group", "field"),
    [("", "shop", "environment ''"), ("a b", "shop", "environment 'a b'"), (ENVIRONMENT, "{x}", "group '{x}'")],
)
def test_names_that_would_leave_the_key_family_are_refused(environment: str, group: str, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        FlagStore(None, environment, group)  # type: ignore[arg-type]


async def test_while_a_dead_man_is_declared_the_lease_lives_as_long_as_it_says(store: FlagStore) -> None:
    began = await begin(store, deadman=timedelta(minutes=5))
    renewed = await store.renew_lease(fence=began.epoch)

    assert (await snapshot_of(store)).deadman_ms == 300_000
    assert (renewed.status, renewed.rev) == (StoreStatus.OK, began.rev)
    assert len(await store.audit(10)) == 1


async def test_a_lease_is_renewed_neither_by_an_older_rollout_nor_after_an_emergency(store: FlagStore) -> None:
    late = (await begin(store)).epoch
    await store.release(owner=OWNER, outcome="completed")
    current = (await begin(store, "rollout/shop/2")).epoch

    assert (await store.renew_lease(fence=late)).status is StoreStatus.STALE_EPOCH
    assert (await store.renew_lease(fence=current)).status is StoreStatus.UNCHANGED

    emergency = await store.emergency(by="kim", reason="down")

    assert (await store.renew_lease(fence=emergency.epoch)).status is StoreStatus.LATCHED
