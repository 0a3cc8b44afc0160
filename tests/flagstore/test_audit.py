"""The audit trail: one entry per first outcome, a chain that shows every tampering, enough to rebuild the flags."""

import json
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from flagstore.audit import verify_chain
from flagstore.commands import StreamEntry, commands
from flagstore.store import FlagStore
from rollout.flags import Exposure
from tests.flagstore.ground import CANARY, FLAGS, INTERNAL, OFF, OWNER, begin, climb, snapshot_of, to


async def some_history(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await climb(store, CANARY, fence)
    await to(store, CANARY, fence - 1)
    await store.emergency(by="alex", reason='checkout is down; "it" broke at 3 % — naïve, isn\'t it?')


async def test_every_first_outcome_is_told_with_who_and_why_and_what_changed(store: FlagStore) -> None:
    await some_history(store)

    newest, refused, canary, *_, began = await store.audit(10)

    assert (newest.op, newest.status, newest.by, newest.epoch) == ("emergency", "OK", "alex", 2)
    assert newest.reason == 'checkout is down; "it" broke at 3 % — naïve, isn\'t it?'
    assert newest.changes == dict.fromkeys(FLAGS, (CANARY, OFF))
    assert (refused.op, refused.status, refused.changes) == ("set", "STALE_EPOCH", {})
    assert canary.changes == dict.fromkeys(FLAGS, (INTERNAL, CANARY))
    assert (began.op, began.by, began.changes) == ("begin", "kim", dict.fromkeys(FLAGS, (None, OFF)))


async def test_a_replay_leaves_no_second_entry(store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    for _ in range(3):
        await to(store, INTERNAL, fence, idempotency_key="a key")

    assert [entry.op for entry in await store.audit(10)] == ["set", "begin"]


async def test_the_newest_hash_is_in_the_snapshot(store: FlagStore) -> None:
    await some_history(store)

    assert (await store.audit(1))[0].hash == (await snapshot_of(store)).h


async def test_replaying_the_changes_rebuilds_the_flags(store: FlagStore) -> None:
    await climb(store, CANARY, (await begin(store)).epoch)
    await store.release(owner=OWNER, outcome="completed")
    await to(store, INTERNAL, (await begin(store, "rollout/shop/2", flags=("search", "recommendations"))).epoch)
    await store.set_exposures({"search": OFF}, fence=0, by="kim", reason="too slow")

    rebuilt: dict[str, Exposure] = {}
    for entry in reversed(await store.audit(100)):
        for flag, (before, after) in entry.changes.items():
            assert rebuilt.get(flag) == before
            if after is None:
                del rebuilt[flag]
            else:
                rebuilt[flag] = after

    assert rebuilt == dict((await snapshot_of(store)).flags)


def without_the_second(entries: list[StreamEntry]) -> list[StreamEntry]:
    return [entries[0], *entries[2:]]


def without_the_newest(entries: list[StreamEntry]) -> list[StreamEntry]:
    return entries[:-1]


def with_another_name(entries: list[StreamEntry]) -> list[StreamEntry]:
    entry_id, fields = entries[1]
    return [entries[0], (entry_id, {**fields, "body": fields["body"].replace("kim", "eve")}), *entries[2:]]


def at_another_time(entries: list[StreamEntry]) -> list[StreamEntry]:
    entry_id, fields = entries[1]
    return [entries[0], (entry_id, {**fields, "ms": "0"}), *entries[2:]]


def in_another_order(entries: list[StreamEntry]) -> list[StreamEntry]:
    return [entries[1], entries[0], *entries[2:]]


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (without_the_second, "an entry before it is missing"),
        (without_the_newest, "the newest entries are missing"),
        (with_another_name, "changed after it was written"),
        (at_another_time, "changed after it was written"),
        (in_another_order, "an entry before it is missing"),
    ],
)
async def test_tampering_breaks_the_chain(
    store: FlagStore, redis: Redis, tamper: Callable[[list[StreamEntry]], list[StreamEntry]], told: str
) -> None:
    await some_history(store)
    entries = list(await commands(redis).xrange(store.keys.audit))
    head = await commands(redis).hget(store.keys.meta, "head")

    assert verify_chain(entries, head).holds
    verdict = verify_chain(tamper(entries), head)

    assert not verdict.holds
    assert told in str(verdict.broken)


async def test_a_chain_that_was_trimmed_at_its_old_end_holds_and_says_so(store: FlagStore, redis: Redis) -> None:
    await some_history(store)
    untouched = await store.verify_audit()

    await redis.xtrim(store.keys.audit, maxlen=2, approximate=False)
    trimmed = await store.verify_audit()

    assert (untouched.holds, untouched.trimmed, untouched.entries) == (True, False, 5)
    assert (trimmed.holds, trimmed.trimmed, trimmed.entries) == (True, True, 2)


async def test_an_empty_store_has_an_empty_trail_that_holds(store: FlagStore) -> None:
    verdict = await store.verify_audit()

    assert (verdict.holds, verdict.entries) == (True, 0)


async def test_an_entry_is_one_json_text_for_whoever_reads_it_without_us(store: FlagStore, redis: Redis) -> None:
    await some_history(store)

    bodies = [json.loads(fields["body"]) for _, fields in await commands(redis).xrange(store.keys.audit)]

    assert [body["arguments"]["by"] for body in bodies] == ["kim", "kim", "kim", "kim", "alex"]
