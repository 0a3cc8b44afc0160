"""A real Redis for everybody who needs one: emptied before each test."""

import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from config.garbage_collection import keep_for_good
from flagstore.store import connect
from local.redis_server import RedisServer

WHOLE_ROLLOUTS = {"e2e", "local", "starter", "workflows"}
SERVERS = {"flagstore", "loadtest", "sample_app", "sandbox"}
LONGEST = (
    "test_direct_without_the_store.py",
    "test_emergency_signals.py",
    "test_long_waits.py",
    "test_matrix.py",
    "test_rehearsal.py",
    "test_zero_downtime.py",
    "test_emergency_loses_its_helpers.py",
    "test_seven_days.py",
    "test_watch_after_full.py",
    "test_concurrent_writers.py",
)
"""A file is run by one process, so that one of these that is begun last has the others wait for minutes."""


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and that is inherited: here it is sent on purpose."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, and what waits for nothing last: so all processes end together."""

    def turn(item: pytest.Item) -> int:
        room = item.path.parent.name
        return [item.path.name in LONGEST, room in WHOLE_ROLLOUTS, room in SERVERS, True].index(True)

    items.sort(key=turn)


def pytest_collection_finish() -> None:
    """All tests and what they import stay. To look through them again and again can take a workflow's two seconds."""
    keep_for_good()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """For tests that leave it running; those that break it start their own."""
    running = RedisServer.start(tmp_path_factory.mktemp("redis"))
    yield running
    running.stop()


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    client = connect(server.url)
    await client.flushall()
    yield client
    await client.aclose()
