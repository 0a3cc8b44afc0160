"""The share of treated users follows the flags in Redis: pushed, polled, and kept while Redis is away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local.redis_server import RedisServer
from sandbox.clock import SandboxClock, to_micros
from sandbox.flag_watch import INTERNAL_SHARE, FlagWatch, SnapshotError, treated_share_of
from sandbox.journal import Journal
from tests.sandbox.flag_documents import AUDIENCE, GROUP, OFF, percent, put, remove, snapshot, until
from tests.sandbox.moving_clock import MovingClock


@pytest.mark.parametrize(
    ("text", "share"),
    [
        pytest.param(None, 0.0, id="no snapshot"),
        pytest.param(snapshot(), 0.0, id="no flags"),
        pytest.param(snapshot(OFF), 0.0, id="off"),
        pytest.param(snapshot(OFF, AUDIENCE), INTERNAL_SHARE, id="audience"),
        pytest.param(snapshot(percent(1000)), 0.1, id="percent"),
        pytest.param(snapshot(percent(1000), percent(5000), AUDIENCE), 0.5, id="the widest flag"),
        pytest.param(snapshot(percent(10_000)), 1.0, id="everybody"),
        pytest.param(snapshot(percent(10_000), latch=True), 0.0, id="latched"),
    ],
)
def test_the_share_follows_the_widest_flag_unless_latched(text: str | None, share: float) -> None:
    assert treated_share_of(text) == share


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"flags": 3}', snapshot({"exposure": "most"}), snapshot({"bp": 1})])
def test_a_snapshot_without_meaning_is_an_error(text: str) -> None:
    with pytest.raises(SnapshotError, match="unusable flag snapshot"):
        treated_share_of(text)


@pytest.fixture
async def redis_url(redis_server: RedisServer) -> str:
    await remove(redis_server.url)
    return redis_server.url


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def watch(redis_url: str, clock: MovingClock) -> AsyncIterator[FlagWatch]:
    watching = FlagWatch(redis_url, SandboxClock(clock), Journal(None))
    yield watching
    await watching.close()


async def test_what_is_there_at_the_start_is_known_at_once(watch: FlagWatch, redis_url: str) -> None:
    await put(redis_url, snapshot(percent(2500)))

    assert (await watch.follow(GROUP)).latest == 0.25


async def test_a_change_is_recorded_with_the_time_it_was_seen(
    watch: FlagWatch, redis_url: str, clock: MovingClock
) -> None:
    shares = await watch.follow(GROUP)
    changed_at = to_micros(clock.skip(hours=5))
    await put(redis_url, snapshot(percent(1000)))
    await until(lambda: shares.latest == 0.1)

    assert shares.at(changed_at) == 0.1
    assert shares.at(changed_at - 1) == 0.0


async def test_a_change_that_was_not_announced_is_found_by_the_poll(watch: FlagWatch, redis_url: str) -> None:
    shares = await watch.follow(GROUP)
    await put(redis_url, snapshot(AUDIENCE), announce=False)
    await until(lambda: shares.latest == INTERNAL_SHARE)

    assert shares.latest == INTERNAL_SHARE


async def test_a_lost_snapshot_treats_nobody(watch: FlagWatch, redis_url: str) -> None:
    await put(redis_url, snapshot(percent(5000)))
    shares = await watch.follow(GROUP)
    await remove(redis_url)
    await until(lambda: shares.latest == 0.0)

    assert shares.latest == 0.0


async def test_a_broken_snapshot_treats_nobody_until_it_is_mended(
    watch: FlagWatch, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await put(redis_url, snapshot(percent(5000)))
    shares = await watch.follow(GROUP)
    await put(redis_url, "{broken")
    await until(lambda: shares.latest == 0.0)
    await put(redis_url, snapshot(percent(1000)))
    await until(lambda: shares.latest == 0.1)

    assert "unusable flag snapshot" in caplog.text


async def test_the_watch_goes_on_after_redis_was_away(tmp_path: Path) -> None:
    server = RedisServer.start(tmp_path)
    watch = FlagWatch(server.url, SandboxClock(MovingClock()), Journal(None))
    try:
        await put(server.url, snapshot(percent(1000)))
        shares = await watch.follow(GROUP)
        server.kill()
        server = RedisServer.start(tmp_path, server.port)
        assert shares.latest == 0.1
        await put(server.url, snapshot(percent(5000)))
        await until(lambda: shares.latest == 0.5)
    finally:
        await watch.close()
        server.stop()

    assert shares.latest == 0.5
