"""Flag snapshots as an application's flag store writes them, put into Redis and announced."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

GROUP = "production:checkout"
_PAUSE_SECONDS = 0.005


def percent(basis_points: int) -> dict[str, Any]:
    return {"exposure": "percent", "bp": basis_points}


AUDIENCE = {"exposure": "audience", "bp": 0, "audience": "internal"}
OFF = {"exposure": "off", "bp": 0}


def snapshot(*flags: dict[str, Any], latch: bool = False) -> str:
    documents = {f"flag_{number}": flag for number, flag in enumerate(flags)}
    return json.dumps({"v": 1, "epoch": 3, "rev": 9, "latch": latch, "ms": 0, "flags": documents, "more": [1]})


async def put(redis_url: str, text: str, *, announce: bool = True) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.set(f"{{rf:{GROUP}}}:snap", text)
        if announce:
            await redis.publish(f"{{rf:{GROUP}}}:chg", text)


async def remove(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.delete(f"{{rf:{GROUP}}}:snap")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task brings about; the test's own time limit ends it."""
    while not condition():  # noqa: ASYNC110  (the condition is somebody else's state, and has no event)
        await asyncio.sleep(_PAUSE_SECONDS)
