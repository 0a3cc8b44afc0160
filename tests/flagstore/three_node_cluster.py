"""A Cluster of three primaries on this machine, each with a third of the slots."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

from redis.asyncio import Redis

from flagstore.store import connect
from local.ports import LOOPBACK, answers, free_port
from local.redis_server import RedisServer
from tests.flagstore.waiting import until_all

SLOTS = 16_384
BUS_OFFSET = 10_000
HIGHEST_PORT = 65_535
BOUNDS = (0, SLOTS // 3, 2 * SLOTS // 3, SLOTS)


@contextmanager
def cluster_servers(directory: Path) -> Iterator[list[RedisServer]]:
    """Three servers in cluster mode that know nothing of each other yet."""
    with ExitStack() as stack:
        servers = []
        for number in range(len(BOUNDS) - 1):
            servers.append(
                RedisServer.start(directory / str(number), _port_with_bus(), configuration={"cluster-enabled": "yes"})
            )
            stack.callback(servers[-1].stop)
        yield servers


async def join(servers: list[RedisServer]) -> str:
    """Make them one Cluster; returns its address once every node says that all slots are served."""
    nodes = [connect(server.url) for server in servers]
    for node, (first, after) in zip(nodes, pairwise(BOUNDS), strict=True):
        await _cluster(node, "ADDSLOTS", *range(first, after))
    for server in servers[1:]:
        await _cluster(nodes[0], "MEET", LOOPBACK, server.port)

    async def agreed(node: Redis) -> bool:
        said = await _cluster(node, "INFO")
        found = said if isinstance(said, dict) else dict(line.split(":") for line in str(said).split())
        return found["cluster_state"] == "ok" and int(found["cluster_known_nodes"]) == len(servers)

    await until_all(lambda: [agreed(node) for node in nodes])
    for node in nodes:
        await node.aclose()
    return "redis+cluster://" + ",".join(f"{LOOPBACK}:{server.port}" for server in servers)


def _port_with_bus() -> int:
    """A free port whose cluster bus, which Redis before 7.0 puts nowhere else but 10,000 above, is free too."""
    while True:
        port = free_port()
        if port + BUS_OFFSET <= HIGHEST_PORT and not answers(port + BUS_OFFSET):
            return port


async def _cluster(node: Redis, *arguments: str | int) -> object:
    found: object = await node.execute_command(f"CLUSTER {arguments[0]}", *arguments[1:])  # type: ignore[no-untyped-call]
    return found
