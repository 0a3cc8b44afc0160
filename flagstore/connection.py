"""Clients for the flag store by address.

One server: `redis://user:password@host:port/db`; `rediss://…` for TLS (`?ssl_ca_certs=` names a private authority);
`unix:///path?db=0`. Sentinel: `redis+sentinel://user:password@host:port,host:port/service/db` (the sentinels' own
access as `?sentinel_username=…&sentinel_password=…`). Cluster: `redis+cluster://user:password@host:port,host:port`.
Both also as `rediss+…`.
"""

from datetime import timedelta
from typing import Any, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

ANSWER_WITHIN = timedelta(seconds=2)
"""A command that is not answered by then has failed; whether it was carried out is settled by its idempotency key."""

STORE_FAILURES = (RedisError, RedisClusterException, OSError)
"""What a client raises when the store does not answer; to redis-py, a Cluster out of reach is no `RedisError`."""


SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
SENTINEL_PORT = 26379
REDIS_PORT = 6379
_SENTINEL_ACCESS = ("sentinel_username", "sentinel_password")


def connect(url: str, *, answer_within: timedelta = ANSWER_WITHIN) -> Redis:
    """A client for the store; nothing is sent before its first command. Close it with `aclose`.

    Nothing is retried silently: a reply that is lost after a write was carried out would be written again. Here the
    caller decides, with the same idempotency key.

    Raises:
        ValueError: the address is of no known kind, or lacks a part.
    """
    parts = urlsplit(url)
    seconds = answer_within.total_seconds()
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),
    }
    match parts.scheme.split("+"):
        case ["redis" | "rediss" | "unix"]:
            return Redis.from_url(url, **options)
        case ["redis" | "rediss" as transport, "sentinel"]:
            return _by_sentinel(parts, {**options, **_access(parts), "ssl": transport == "rediss"})
        case ["redis" | "rediss" as transport, "cluster"]:
            return _in_cluster(parts, {**options, **_access(parts), "ssl": transport == "rediss"})
        case _:
            allowed = ", ".join(f"{scheme}://…" for scheme in SCHEMES)
            raise ValueError(f"flag store address with the scheme {parts.scheme!r}: expected one of {allowed}")


def what_it_did(failure: Exception) -> str:
    """What a store that failed so did, for people: a wrong password is mended elsewhere than a server that is away."""
    match failure:
        case ClusterDownError():
            return "is down"
        case ResponseError() | AuthenticationError() | AuthorizationError():
            return "refused"
        case _:
            return "did not answer"


class _SentinelOwningPool(SentinelConnectionPool):
    """A pool that closes the connections to its sentinels with its own."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


def _by_sentinel(parts: SplitResult, options: dict[str, Any]) -> Redis:
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("flag store address by Sentinel: the path names the service, as in …host:26379/flags")
    of_sentinels = {name.removeprefix("sentinel_"): options.pop(name) for name in _SENTINEL_ACCESS if name in options}
    shared = {name: value for name, value in options.items() if name not in {"username", "password"}}
    hosts = _hosts(parts, SENTINEL_PORT)
    sentinels = Sentinel(hosts, sentinel_kwargs={**shared, **of_sentinels})  # type: ignore[no-untyped-call]
    client: Redis = sentinels.master_for(
        service, connection_pool_class=_SentinelOwningPool, db=int(database or 0), **options
    )
    return client


def _in_cluster(parts: SplitResult, options: dict[str, Any]) -> Redis:
    nodes = [ClusterNode(host, port) for host, port in _hosts(parts, REDIS_PORT)]
    client: object = RedisCluster(startup_nodes=nodes, **options)
    # A cluster client has no base in common with `Redis`, but answers every command that the store uses.
    return cast("Redis", client)


def _access(parts: SplitResult) -> dict[str, Any]:
    credentials, at, _ = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    if at and user:
        options["username"] = unquote(user)
    if at and password:
        options["password"] = unquote(password)
    return options


def _hosts(parts: SplitResult, default_port: int) -> list[tuple[str, int]]:
    found = []
    for address in parts.netloc.rpartition("@")[2].split(","):
        one = urlsplit(f"//{address}")
        if not one.hostname:
            raise ValueError(f"flag store address: {address!r} is not host or host:port")
        found.append((one.hostname, one.port or default_port))
    return found
