"""Who owns what: one rollout at a time has a service or a flag, whatever plan and group it belongs to.

The claims of all plans lie in one hash, so that two rollouts that begin at once cannot both have one of them. What a
group knows of its own owner lies in its own keys and counts for its writes; this registry only keeps others out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from flagstore.commands import commands

REGISTRY = "rf:owned"

_WHOLE: Final = """
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
"""
"""A key that somebody overwrote must neither stop a rollout for ever nor keep one from ending."""
_CLAIM: Final = f"""{_WHOLE}
local taken = {{}}
for i = 2, #ARGV do
  local holder = redis.call('HGET', KEYS[1], ARGV[i])
  if holder and holder ~= ARGV[1] then
    taken[#taken + 1] = ARGV[i]
    taken[#taken + 1] = holder
  end
end
if #taken == 0 then
  for i = 2, #ARGV do redis.call('HSET', KEYS[1], ARGV[i], ARGV[1]) end
end
return taken
"""
_RELEASE: Final = f"""{_WHOLE}
local held = redis.call('HGETALL', KEYS[1])
local released = {{}}
for i = 1, #held, 2 do
  if held[i + 1] == ARGV[1] then
    redis.call('HDEL', KEYS[1], held[i])
    released[#released + 1] = held[i]
  end
end
return released
"""


@dataclass(frozen=True)
class Taken:
    """Something that was asked for and belongs to somebody else."""

    what: str
    owner: str


def service_claim(resource_name: str) -> str:
    """The name of a claim on a Cloud Run service, `projects/P/locations/L/services/S`, in whatever environment."""
    return f"service {resource_name}"


def flag_claim(environment: str, flag: str) -> str:
    return f"flag {flag} in {environment}"


async def claim(redis: Redis, owner: str, names: Iterable[str]) -> list[Taken]:
    """Take everything, or nothing: then what others have. Claiming again what one has is no conflict."""
    found = await commands(redis).eval(_CLAIM, 1, REGISTRY, owner, *names)
    return [Taken(what, holder) for what, holder in zip(found[::2], found[1::2], strict=True)]


async def release(redis: Redis, owner: str) -> list[str]:
    """Give everything back that an owner has; returns what that was."""
    return sorted(await commands(redis).eval(_RELEASE, 1, REGISTRY, owner))


async def owned(redis: Redis) -> Mapping[str, str]:
    """Every claim with its owner."""
    return await commands(redis).hgetall(REGISTRY)
