"""A group of two flags that a person switches by hand."""

import asyncio
from dataclasses import dataclass

from flagstore.connection import connect
from flagstore.store import FlagStore, Stages
from tests.flagstore.ground import begin

NOBODY_LISTENS = "127.0.0.1:1"
WHO = ("--updated-by", "kim", "--reason", "checkout is down")


@dataclass(frozen=True)
class Shop:
    """Two flags of a plan in an environment of the test's own, owned by nobody."""

    environment: str
    url: str

    @property
    def where(self) -> tuple[str, str]:
        return "--environment", self.environment

    def owned_by(self, owner: str | None, stages: Stages | None = None) -> None:
        async def began() -> None:
            redis = connect(self.url)
            store = FlagStore(redis, self.environment, "shop")
            begun = await begin(store, "rollout/shop/first", stages=stages)
            assert begun.accepted, begun.sentence
            if owner is None:
                await store.release(owner="rollout/shop/first", outcome="completed")
            await redis.aclose()

        asyncio.run(began())
