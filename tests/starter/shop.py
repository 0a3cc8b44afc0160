"""A group of two flags that a person switches by hand."""

import asyncio
from dataclasses import dataclass

from flagstore.connection import connect
from flagstore.store import FlagStore, Stages
from rollout.flags import Audience
from starter.stage_change import EXPOSURES

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
        async def begin() -> None:
            redis = connect(self.url)
            store = FlagStore(redis, self.environment, "shop")
            begun = await store.begin(
                owner="rollout/shop/first",
                by="kim",
                flags=("basket", "search"),
                audience=Audience(domains=("example.com",), users=()),
                cohort=None,
                ladder=tuple(EXPOSURES.values()),
                candidates={},
                stages=stages,
            )
            assert begun.accepted, begun.sentence
            if owner is None:
                await store.release(owner="rollout/shop/first", outcome="completed")
            await redis.aclose()

        asyncio.run(begin())
