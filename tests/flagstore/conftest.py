from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from flagstore.store import FlagStore, connect
from local.redis_server import RedisServer
from tests.flagstore.ground import ENVIRONMENT, GROUP


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


@pytest.fixture
def store(redis: Redis) -> FlagStore:
    return FlagStore(redis, ENVIRONMENT, GROUP)
