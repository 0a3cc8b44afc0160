import pytest
from redis.asyncio import Redis

from flagstore.store import FlagStore
from tests.flagstore.ground import ENVIRONMENT, GROUP


@pytest.fixture
def store(redis: Redis) -> FlagStore:
    return FlagStore(redis, ENVIRONMENT, GROUP)
