from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from local.redis_server import RedisServer
from tests.sandbox.flag_documents import remove
from tests.sandbox.google import Google
from tests.sandbox.moving_clock import MovingClock
from tests.sandbox.synthetic_hour import FLAGGED


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google.started() as started:
        yield started


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    directory: Path = tmp_path_factory.mktemp("redis")
    server = RedisServer.start(directory)
    yield server
    server.stop()


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def unflagged(clock: MovingClock) -> AsyncIterator[Google]:
    """A service whose users belong to no flag group: treated is whom the candidate serves."""
    async with Google.started(clock=clock) as started:
        yield started


@pytest.fixture
async def flagged(clock: MovingClock, redis_server: RedisServer) -> AsyncIterator[Google]:
    """A service whose users are treated by the flags of `GROUP`."""
    await remove(redis_server.url)
    async with Google.started(clock=clock, services=(FLAGGED,), redis_url=redis_server.url) as started:
        yield started
