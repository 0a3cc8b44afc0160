"""A server dies and another takes its place: the address stays, and what was switched off stays off."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from flagstore.client import Flags
from flagstore.connection import STORE_FAILURES, what_it_did
from flagstore.store import FlagStore, StoreReply, connect
from local.child_process import ChildProcess
from local.ports import LOOPBACK, answers, free_port
from local.redis_server import RedisServer, server_binary
from tests.flagstore.ground import CANARY, ENVIRONMENT, GROUP, KIM, begin, climb, snapshot_of
from tests.flagstore.three_node_cluster import (
    cluster_servers,
    info,
    join,
    primary_of,
    replicate,
    restarted,
    spare_server,
)
from tests.flagstore.waiting import until, until_all


async def latched_again(store: FlagStore) -> bool:
    """Whether the store can be written again, and says that everything is off."""
    try:
        again = await store.emergency(by="guard", reason="assert it again")
        return again.accepted and (await snapshot_of(store)).is_latched_off
    except STORE_FAILURES:
        return False


async def has_copied(replica: RedisServer, primary: RedisServer) -> bool:
    """Whether a replica has everything that its primary had when it was asked."""
    source, copy = connect(primary.url), connect(replica.url)
    written = (await source.info("replication"))["master_repl_offset"]
    copied = (await copy.info("replication"))["slave_repl_offset"]
    await source.aclose()
    await copy.aclose()
    return int(copied) >= int(written)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica."""
    with ExitStack() as stack:
        primary = RedisServer.start(tmp_path / "primary", configuration={"repl-diskless-sync-delay": "0"})
        stack.callback(primary.stop)
        replica = RedisServer.start(tmp_path / "replica", configuration={"replicaof": f"{LOOPBACK} {primary.port}"})
        stack.callback(replica.stop)
        yield primary, replica


@pytest.fixture
def sentinel_url(pair: tuple[RedisServer, RedisServer], tmp_path: Path) -> Iterator[str]:
    """The pair by one sentinel, which promotes the replica soon after the primary falls silent."""
    port, configuration = free_port(), tmp_path / "sentinel.conf"
    configuration.write_text(
        f"bind {LOOPBACK}\nport {port}\ndir {tmp_path}\nsentinel monitor flags {LOOPBACK} {pair[0].port} 1\n"
        "sentinel down-after-milliseconds flags 500\nsentinel failover-timeout flags 2000\n"
    )
    sentinel = ChildProcess.start(
        "sentinel",
        [server_binary(), configuration, "--sentinel"],
        log=tmp_path / "sentinel.log",
        ready=lambda _: answers(port),
    )
    yield f"redis+sentinel://{LOOPBACK}:{port}/flags"
    sentinel.stop()


async def sentinel_knows_the_replica(sentinel_url: str) -> bool:
    """Before that, there is nobody whom it could promote."""
    port = int(sentinel_url.rpartition(":")[2].partition("/")[0])
    async with Redis(host=LOOPBACK, port=port, decode_responses=True) as sentinel:
        return len(await sentinel.sentinel_slaves("flags")) == 1


async def dies_and_the_latch_is_followed(
    primary: RedisServer, store: FlagStore, flags: Flags, emergency: StoreReply
) -> None:
    primary.kill()

    await until_all(lambda: [latched_again(store)])
    assert not flags.is_enabled("basket", *KIM)
    position = (await snapshot_of(store)).position
    assert position > (emergency.epoch, emergency.rev)
    await until(lambda: flags.status().position == position)


async def test_after_a_promotion_by_sentinel_the_same_address_leads_to_the_latch_and_applications_follow_again(
    pair: tuple[RedisServer, RedisServer], sentinel_url: str
) -> None:
    primary, replica = pair
    async with Flags(sentinel_url, ENVIRONMENT, GROUP) as flags:
        redis = connect(sentinel_url)
        store = FlagStore(redis, ENVIRONMENT, GROUP)
        await climb(store, CANARY, (await begin(store)).epoch)
        await until(lambda: flags.is_enabled("basket", *KIM))
        emergency = await store.emergency(by="kim", reason="down")
        await until_all(lambda: [has_copied(replica, primary), sentinel_knows_the_replica(sentinel_url)])

        await dies_and_the_latch_is_followed(primary, store, flags, emergency)
        await redis.aclose()


async def test_when_a_node_of_a_cluster_dies_its_replica_answers_with_the_latch_and_applications_follow_again(
    tmp_path: Path,
) -> None:
    with cluster_servers(tmp_path) as servers, spare_server(tmp_path / "spare") as replica:
        url = await join(servers)
        redis = connect(url)
        store = FlagStore(redis, ENVIRONMENT, GROUP)
        primary = await primary_of(servers, store.keys.snapshot)
        await replicate(primary, replica)
        async with Flags(url, ENVIRONMENT, GROUP) as flags:
            await climb(store, CANARY, (await begin(store)).epoch)
            await until(lambda: flags.is_enabled("basket", *KIM))
            emergency = await store.emergency(by="kim", reason="down")
            await until_all(lambda: [has_copied(replica, primary)])

            await dies_and_the_latch_is_followed(primary, store, flags, emergency)
        await redis.aclose()


async def test_a_cluster_that_has_lost_a_node_is_down_and_not_damaged(tmp_path: Path) -> None:
    with cluster_servers(tmp_path) as servers:
        redis = connect(await join(servers))
        family = FlagStore(redis, ENVIRONMENT, GROUP)
        await begin(family)
        await redis.aclose()
        has_the_flags = await primary_of(servers, family.keys.snapshot)
        next(server for server in servers if server is not has_the_flags).kill()

        # A client of the whole Cluster would look for the node that is gone, and not always ask the one that answers.
        node = connect(has_the_flags.url)
        store = FlagStore(node, ENVIRONMENT, GROUP)

        async def is_down() -> bool:
            return (await info(node))["cluster_state"] == "fail"

        await until_all(lambda: [is_down()])
        for reading in (store.read(), store.read_safety(), store.stages()):
            with pytest.raises(STORE_FAILURES) as told:
                await reading
            assert what_it_did(told.value) == "is down"
        await node.aclose()


async def test_an_application_whose_whole_cluster_was_away_follows_it_again(tmp_path: Path) -> None:
    with cluster_servers(tmp_path) as servers:
        url = await join(servers)
        redis = connect(url)
        store = FlagStore(redis, ENVIRONMENT, GROUP)
        async with Flags(url, ENVIRONMENT, GROUP) as flags:
            await climb(store, CANARY, (await begin(store)).epoch)
            await until(lambda: flags.is_enabled("basket", *KIM))
            for server in servers:
                server.kill()
            failed = flags.status().counts.failed_reads
            # The first may end in the broken connection; it is the next that finds no node of the Cluster at all.
            await until(lambda: flags.status().counts.failed_reads >= failed + 2)
            with pytest.raises(STORE_FAILURES):
                await store.read()

            for number, server in enumerate(servers):
                servers[number] = restarted(server)
            await until_all(lambda: [latched_again(store)])
            await until(lambda: not flags.is_enabled("basket", *KIM))
        await redis.aclose()
