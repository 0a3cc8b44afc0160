"""What a whole environment holds."""

from redis.asyncio import Redis

from flagstore.commands import commands
from flagstore.keys import groups_key


async def groups_of(redis: Redis, environment: str) -> list[str]:
    """The groups that ever began in an environment, by name."""
    return sorted(await commands(redis).smembers(groups_key(environment)))
