"""What a reader makes of snapshots in any order: never an older state, never more than the store and it agree on."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagstore.held import Effect, Held, Leases, Limit, Source
from rollout.flags import OFF, Audience, Exposure, FlagSnapshot
from tests.flagstore.ground import CANARY, FLAGS, FULL, INTERNAL, STAGED

LEASES = Leases(partial=timedelta(seconds=10), full=timedelta(seconds=240))


def snapshot(
    epoch: int,
    rev: int,
    exposures: Sequence[Exposure] = (CANARY, CANARY),
    *,
    h: str = "",
    latch: bool = False,
    deadman_ms: int | None = None,
) -> FlagSnapshot:
    return FlagSnapshot(
        v=1,
        epoch=epoch,
        rev=rev,
        latch=latch,
        ms=0,
        h=h or f"{epoch}:{rev}",
        cohort=None,
        audience=Audience(domains=("example.com",)),
        flags=dict(zip(FLAGS, exposures, strict=True)),
        deadman_ms=deadman_ms,
    )


def holding(found: FlagSnapshot) -> Held:
    held, effect = Held().received(found, Source.READ)
    assert effect is Effect.APPLIED
    return held


def orders(held: Held) -> list[int]:
    assert held.shown is not None
    return [held.shown.flags[flag].order for flag in FLAGS]


EXPOSURES = st.sampled_from([OFF, INTERNAL, CANARY, STAGED, FULL])
SNAPSHOTS = st.builds(
    lambda epoch, rev, one, two, fork: snapshot(epoch, rev, (one, two), h=f"{epoch}:{rev}:{fork}"),
    st.integers(1, 3),
    st.integers(1, 4),
    EXPOSURES,
    EXPOSURES,
    st.integers(0, 1),
)


@given(history=st.permutations([snapshot(1, rev, (CANARY, OFF)) for rev in range(1, 6)]), repeats=st.integers(1, 3))
def test_any_order_of_pushes_with_one_read_ends_in_the_newest_state(history: list[FlagSnapshot], repeats: int) -> None:
    newest, held = snapshot(2, 7, (OFF, OFF), latch=True), Held()
    for pushed in history * repeats:
        held, _ = held.received(pushed, Source.PUSH)
    held, _ = held.received(newest, Source.READ)
    for pushed in history:
        held, effect = held.received(pushed, Source.PUSH)
        assert effect is Effect.LATE

    assert held.shown == newest
    assert not held.regressed


@given(arrivals=st.lists(st.tuples(st.one_of(st.none(), SNAPSHOTS), st.sampled_from(Source)), max_size=12))
def test_no_arrival_moves_back_and_without_a_newer_position_nothing_rises(
    arrivals: list[tuple[FlagSnapshot | None, Source]],
) -> None:
    held = Held()
    for found, source in arrivals:
        before, (held, effect) = held, held.received(found, source)
        if before.newest is None or before.shown is None:
            continue
        assert held.newest is not None
        assert held.newest.position >= before.newest.position
        if held.newest.position == before.newest.position:
            assert all(new <= old for new, old in zip(orders(held), orders(before), strict=True))
            assert effect is not Effect.APPLIED
        else:
            assert held.shown == held.newest
            assert not held.regressed


@pytest.mark.parametrize(
    ("found", "source", "effect"),
    [
        pytest.param(snapshot(1, 9), Source.READ, Effect.REGRESSED, id="an older epoch is read"),
        pytest.param(snapshot(2, 4), Source.READ, Effect.REGRESSED, id="an older revision is read"),
        pytest.param(snapshot(2, 5, h="other"), Source.READ, Effect.REGRESSED, id="another history is read"),
        pytest.param(snapshot(2, 5, h="other"), Source.PUSH, Effect.REGRESSED, id="another history is pushed"),
        pytest.param(None, Source.READ, Effect.REGRESSED, id="an empty store is read"),
        pytest.param(snapshot(2, 4), Source.PUSH, Effect.LATE, id="an older revision is pushed"),
        pytest.param(snapshot(2, 5), Source.READ, Effect.CONFIRMED, id="the same is read"),
        pytest.param(snapshot(2, 6), Source.PUSH, Effect.APPLIED, id="a newer revision is pushed"),
        pytest.param(snapshot(3, 1), Source.READ, Effect.APPLIED, id="a newer epoch is read"),
    ],
)
def test_what_an_arrival_means(found: FlagSnapshot | None, source: Source, effect: Effect) -> None:
    assert holding(snapshot(2, 5)).received(found, source)[1] is effect


def test_after_a_loss_of_writes_each_flag_shows_the_smaller_exposure_until_a_newer_position() -> None:
    held = holding(snapshot(2, 5, (OFF, FULL)))

    held, _ = held.received(snapshot(1, 9, (CANARY, STAGED)), Source.READ)

    assert orders(held) == [OFF.order, STAGED.order]
    assert held.shown_after(0, LEASES)[1] is Limit.REGRESSED

    held, _ = held.received(snapshot(1, 10, (FULL, FULL)), Source.READ)

    assert orders(held) == [OFF.order, STAGED.order]

    held, effect = held.received(snapshot(3, 1, (FULL, FULL)), Source.PUSH)

    assert effect is Effect.APPLIED
    assert orders(held) == [FULL.order, FULL.order]


def test_a_latch_that_the_store_lost_stays_for_the_reader() -> None:
    held = holding(snapshot(2, 5, (OFF, OFF), latch=True))

    held, _ = held.received(snapshot(1, 4, (CANARY, CANARY)), Source.READ)

    assert held.shown is not None
    assert held.shown.latch


def test_people_who_are_in_only_one_of_two_audiences_are_out_after_a_loss() -> None:
    other = snapshot(1, 4).model_copy(update={"audience": Audience(domains=("other.example", "example.com"))})

    held, _ = holding(snapshot(2, 5)).received(other, Source.READ)

    assert held.shown is not None
    assert held.shown.audience == Audience(domains=("example.com",))


@pytest.mark.parametrize(
    ("silent_for", "shown", "limit"),
    [
        (0, [CANARY, FULL], Limit.NONE),
        (9.9, [CANARY, FULL], Limit.NONE),
        (10, [OFF, FULL], Limit.PARTIAL_LEASE_OVER),
        (239.9, [OFF, FULL], Limit.PARTIAL_LEASE_OVER),
        (240, [OFF, OFF], Limit.FULL_LEASE_OVER),
        (float("inf"), [OFF, OFF], Limit.FULL_LEASE_OVER),
    ],
)
def test_without_contact_partial_exposure_ends_first_and_full_exposure_later(
    silent_for: float, shown: list[Exposure], limit: Limit
) -> None:
    found, why, lasts = holding(snapshot(1, 1, (CANARY, FULL))).shown_after(silent_for, LEASES)

    assert found is not None
    assert [found.flags[flag] for flag in FLAGS] == shown
    assert why is limit
    assert lasts > 0


def test_an_internal_audience_is_partial_exposure() -> None:
    found, _, _ = holding(snapshot(1, 1, (INTERNAL, FULL))).shown_after(10, LEASES)

    assert found is not None
    assert [found.flags[flag] for flag in FLAGS] == [OFF, FULL]


def test_before_anything_was_seen_nothing_is_shown() -> None:
    held, effect = Held().received(None, Source.READ)

    assert effect is Effect.EMPTY
    assert held.shown_after(0, LEASES)[:2] == (None, Limit.NOT_READY)


def test_a_lease_that_nobody_renews_turns_everything_off_and_back_on_when_somebody_does() -> None:
    guarded = snapshot(1, 1, (CANARY, FULL), deadman_ms=60_000)
    held = holding(guarded)

    expired, _ = held.received(guarded, Source.READ, lease_alive=False)
    renewed, _ = expired.received(guarded, Source.READ, lease_alive=True)

    pushed_again, _ = expired.received(guarded, Source.PUSH)
    pushed_newer, _ = expired.received(snapshot(1, 2, (STAGED, FULL), deadman_ms=60_000), Source.PUSH)

    for without_lease in (expired, pushed_again, pushed_newer):
        found, why, _ = without_lease.shown_after(0, LEASES)
        assert found is not None
        assert set(found.flags.values()) == {OFF}
        assert why is Limit.DEADMAN
    assert renewed.shown_after(0, LEASES)[1] is Limit.NONE


def test_without_a_dead_man_no_lease_is_asked_for() -> None:
    held, _ = holding(snapshot(1, 1)).received(snapshot(1, 1), Source.READ, lease_alive=False)

    assert held.shown_after(0, LEASES)[1] is Limit.NONE


def test_without_contact_nothing_outlives_the_length_of_the_dead_mans_lease() -> None:
    held = holding(snapshot(1, 1, (CANARY, FULL), deadman_ms=60_000))

    found, why, _ = held.shown_after(60, LEASES)

    assert found is not None
    assert set(found.flags.values()) == {OFF}
    assert why is Limit.FULL_LEASE_OVER
