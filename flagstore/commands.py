"""The Redis commands that the flags use, typed as a client answers them that decodes responses.

redis-py's own annotations cover every client and mode at once and promise too little to be checked against.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from redis.asyncio import Redis

StreamEntry = tuple[str, Mapping[str, str]]


class Commands(Protocol):
    async def eval(self, script: str, numkeys: int, *keys_and_args: str | int) -> Sequence[Any]: ...

    async def get(self, name: str) -> str | None: ...

    async def mget(self, keys: Sequence[str]) -> Sequence[str | None]: ...

    async def hget(self, name: str, key: str) -> str | None: ...

    async def hgetall(self, name: str) -> Mapping[str, str]: ...

    async def hset(self, name: str, key: str, value: str) -> int: ...

    async def hdel(self, name: str, *keys: str) -> int: ...

    async def sadd(self, name: str, *values: str) -> int: ...

    async def smembers(self, name: str) -> set[str]: ...

    async def xrange(self, name: str) -> Sequence[StreamEntry]: ...

    async def xrevrange(self, name: str, *, count: int | None = None) -> Sequence[StreamEntry]: ...

    async def time(self) -> tuple[int, int]: ...


def commands(redis: Redis) -> Commands:
    return cast("Commands", redis)
