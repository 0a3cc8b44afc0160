from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from local.redis_server import RedisServer
from tests.sandbox.google import Google


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
