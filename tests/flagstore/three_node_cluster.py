"""A Cluster of three primaries on this machine, each with a third of the slots."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from flagstore.store import connect
from local.ports import LOOPBACK, free_port, is_free
from local.redis_server import RedisServer
from tests.flagstore.waiting import until_all

SLOTS = 16_384
CONFIGURATION = {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "repl-diskless-sync-delay": "0"}
"""A primary that is silent for a second (of 15 usually) is given up by the others."""
BUS_OFFSET = 10_000
BOUNDS = (0, SLOTS // 3, 2 * SLOTS // 3, SLOTS)


@contextmanager
def cluster_servers(directory: Path) -> Iterator[list[RedisServer]]:
    """Three servers in cluster mode that know nothing of each other yet. Whoever restarts one puts it in its place."""
    servers = [_node(directory / str(number)) for number in range(len(BOUNDS) - 1)]
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()


def restarted(server: RedisServer) -> RedisServer:
    """The same node of the Cluster, with its data, after it was killed."""
    return RedisServer.start(server.directory, server.port, configuration=CONFIGURATION)


@contextmanager
def spare_server(directory: Path) -> Iterator[RedisServer]:
    """One more, to become a replica."""
    server = _node(directory)
    yield server
    server.stop()


async def join(servers: list[RedisServer]) -> str:
    """Make them one Cluster; returns its address once every node says that all slots are served."""
    nodes = [connect(server.url) for server in servers]
    for node, (first, after) in zip(nodes, pairwise(BOUNDS), strict=True):
        await _cluster(node, "ADDSLOTS", *range(first, after))
    for server in servers[1:]:
        await _cluster(nodes[0], "MEET", LOOPBACK, server.port)

    async def agreed(node: Redis) -> bool:
        found = await info(node)
        return found["cluster_state"] == "ok" and int(found["cluster_known_nodes"]) == len(servers)

    await until_all(lambda: [agreed(node) for node in nodes])
    for node in nodes:
        await node.aclose()
    return "redis+cluster://" + ",".join(f"{LOOPBACK}:{server.port}" for server in servers)


async def info(node: Redis) -> dict[str, str]:
    """What a node says of its Cluster."""
    said = await _cluster(node, "INFO")
    return said if isinstance(said, dict) else dict(line.split(":") for line in str(said).split())


async def primary_of(servers: list[RedisServer], key: str) -> RedisServer:
    """The server that has the slot of a key."""
    node = connect(servers[0].url)
    slot = int(str(await _cluster(node, "KEYSLOT", key)))
    await node.aclose()
    return servers[bisect_right(BOUNDS, slot) - 1]


async def replicate(primary: RedisServer, replica: RedisServer) -> None:
    """Make a spare server the replica of a primary; returns when it has joined and follows."""
    source, node = connect(primary.url), connect(replica.url)
    name = str(await _cluster(source, "MYID"))
    await _cluster(node, "MEET", LOOPBACK, primary.port)

    async def is_told() -> bool:
        try:
            await _cluster(node, "REPLICATE", name)
        except ResponseError:
            # It has not heard of the primary yet.
            return False
        return True

    async def follows() -> bool:
        return bool((await node.info("replication"))["master_link_status"] == "up")

    await until_all(lambda: [is_told()])
    await until_all(lambda: [follows()])
    await source.aclose()
    await node.aclose()


def _node(directory: Path) -> RedisServer:
    return RedisServer.start(directory, _port_with_bus(), configuration=CONFIGURATION)


def _port_with_bus() -> int:
    """A free port whose cluster bus, which Redis before 7.0 puts nowhere else but 10,000 above, is free too."""
    while True:
        port = free_port()
        if is_free(port + BUS_OFFSET):
            return port


async def _cluster(node: Redis, *arguments: str | int) -> object:
    found: object = await node.execute_command(f"CLUSTER {arguments[0]}", *arguments[1:])  # type: ignore[no-untyped-call]
    return found
