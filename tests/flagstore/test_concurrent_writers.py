"""Writers that race, repeat themselves and come late in any order expose nobody after a kill switch."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis.exceptions import ConnectionError as ConnectionBroken

from flagstore.audit import verify_chain
from flagstore.client import Flags
from flagstore.commands import StreamEntry, commands
from flagstore.environment import groups_of
from flagstore.kill_switch import switch_off
from flagstore.store import FlagStore, StoreReply, StoreStatus, connect
from local.redis_server import RedisServer
from rollout.flags import Exposure, FlagSnapshot
from tests.flagstore.faulty_wire import FaultyWire
from tests.flagstore.ground import CANARY, ENVIRONMENT, FLAGS, LADDER, OFF, begin, climb, snapshot_of
from tests.flagstore.serial_history import SerialHistory
from tests.flagstore.three_node_cluster import cluster_servers, join
from tests.flagstore.waiting import until

SETTINGS = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
WRITERS = 3

Answer = tuple[StoreStatus, int, int, str]


@dataclass(frozen=True)
class Request:
    """One request, delivered any number of times; `send` repeats it over any writer's connection."""

    key: str
    send: Callable[[FlagStore], Awaitable[StoreReply]]


class RacingWriters(RuleBasedStateMachine):
    def __init__(self, url: str, wire: FaultyWire | None = None) -> None:
        super().__init__()
        self.wire = wire
        self.runner = asyncio.Runner()
        group = f"group-{uuid.uuid4()}"
        self.clients = [connect(url) for _ in range(WRITERS)]
        self.stores = [FlagStore(client, ENVIRONMENT, group) for client in self.clients]
        self.on_the_wire = None if wire is None else connect(wire.url)
        self.group = group
        self.requests: list[Request] = []
        self.epochs = [0, 1]
        self.answers: dict[str, Answer] = {}
        self.arrived = True
        """Whether something has since the promises were looked at; what is only wanted changes nothing."""

    def teardown(self) -> None:
        async def close() -> None:
            for client in [*self.clients, *([self.on_the_wire] if self.on_the_wire else [])]:
                await client.aclose()

        self.runner.run(close())
        self.runner.close()

    @rule(owner=st.sampled_from(["one", "two"]), over=st.integers(0, 3))
    def wants_to_begin(self, owner: str, over: int) -> None:
        self._wants(lambda store, key: begin(store, owner, by=owner, again=key, min_epoch=over, idempotency_key=key))

    @rule(exposure=st.sampled_from(LADDER), flags=st.sets(st.sampled_from(FLAGS), min_size=1), known=st.integers(0, 50))
    def wants_a_stage(self, exposure: Exposure, flags: set[str], known: int) -> None:
        fence = self.epochs[known % len(self.epochs)]
        self._wants_stage(dict.fromkeys(sorted(flags), exposure), fence)

    @rule()
    def wants_the_next_stage_with_the_fence_that_everybody_can_read(self) -> None:
        snapshot = self.runner.run(self.stores[0].read())
        if snapshot is not None:
            stands = max(exposure.order for exposure in snapshot.flags.values()) if snapshot.flags else OFF.order
            following = next((step for step in LADDER if step.order > stands), LADDER[-1])
            self._wants_stage(dict.fromkeys(FLAGS, following), snapshot.epoch)
            self._deliver([len(self.requests) - 1])

    @rule()
    def wants_an_emergency(self) -> None:
        self._wants(lambda store, key: store.emergency(by="kim", reason=key, idempotency_key=key))

    @rule(known=st.integers(0, 50), newest=st.booleans())
    def wants_a_rearm(self, known: int, newest: bool) -> None:
        epoch = max(self.epochs) if newest else self.epochs[known % len(self.epochs)]
        self._wants(lambda store, key: store.rearm(epoch=epoch, by="kim", reason=key, idempotency_key=key))

    @precondition(lambda self: self.requests)
    @rule(numbers=st.lists(st.integers(0, 1_000), min_size=1, max_size=6))
    def arrive_together(self, numbers: list[int]) -> None:
        self._deliver([-1 - number % len(self.requests) for number in numbers])

    @precondition(lambda self: self.requests and self.on_the_wire is not None)
    @rule(number=st.integers(0, 1_000))
    def arrives_and_its_answer_is_lost(self, number: int) -> None:
        request = self.requests[-1 - number % len(self.requests)]
        assert self.wire is not None
        assert self.on_the_wire is not None
        store = FlagStore(self.on_the_wire, ENVIRONMENT, self.group)

        async def lose_the_answer() -> None:
            await store.read()
            assert self.wire is not None
            self.wire.lose_next_answer()
            with pytest.raises(ConnectionBroken):
                await request.send(store)

        self.runner.run(lose_the_answer())
        self._deliver([self.requests.index(request)])

    def _wants(self, call: Callable[[FlagStore, str], Awaitable[StoreReply]]) -> None:
        key = str(uuid.uuid4())
        self.requests.append(Request(key, lambda store: call(store, key)))

    def _wants_stage(self, to: dict[str, Exposure], fence: int) -> None:
        self._wants(lambda store, key: store.set_exposures(to, fence=fence, by="kim", reason=key, idempotency_key=key))

    def _deliver(self, numbers: list[int]) -> None:
        async def deliver() -> list[tuple[str, StoreReply]]:
            async def send(place: int, request: Request) -> tuple[str, StoreReply]:
                return request.key, await request.send(self.stores[place % WRITERS])

            return await asyncio.gather(*(send(place, self.requests[number]) for place, number in enumerate(numbers)))

        self.arrived = True
        for key, reply in self.runner.run(deliver()):
            self.epochs.append(reply.epoch)
            if reply.status is not StoreStatus.UNINITIALISED:
                answer = (reply.status, reply.epoch, reply.rev, reply.detail)
                assert self.answers.setdefault(key, answer) == answer, "one request was answered in two ways"

    @invariant()
    def the_order_in_which_it_happened_keeps_every_promise(self) -> None:
        if not self.arrived:
            return
        redis, keys = commands(self.clients[0]), self.stores[0].keys

        async def found() -> tuple[Sequence[StreamEntry], str | None, FlagSnapshot | None]:
            return await redis.xrange(keys.audit), await redis.hget(keys.meta, "head"), await self.stores[0].read()

        entries, head, snapshot = self.runner.run(found())
        self.arrived = False
        history = SerialHistory().walk(fields for _, fields in entries)
        assert verify_chain(entries, head).holds
        assert (snapshot is None) == (history.rev == 0)
        assert snapshot is None or history.is_shown_by(snapshot)


def race(url: str, wire: FaultyWire | None = None) -> None:
    class Race(RacingWriters):
        def __init__(self) -> None:
            super().__init__(url, wire)

    run_state_machine_as_test(Race, settings=SETTINGS)


def test_no_late_repeated_or_racing_writer_exposes_anybody_after_an_emergency(server: RedisServer) -> None:
    with FaultyWire(server.port) as wire:
        race(server.url, wire)


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cluster_servers(tmp_path_factory.mktemp("cluster")) as servers:
        yield asyncio.run(join(servers))


def test_the_same_holds_in_a_cluster_of_three_nodes(cluster_url: str) -> None:
    race(cluster_url)


async def test_an_application_follows_its_group_in_a_cluster_and_one_switch_reaches_the_groups_of_all_nodes(
    cluster_url: str,
) -> None:
    redis = connect(cluster_url)
    groups = [f"shop-{number}" for number in range(8)]
    applications = [Flags(cluster_url, "cluster-wide", group) for group in groups]
    try:
        for group in groups:
            store = FlagStore(redis, "cluster-wide", group)
            await climb(store, CANARY, (await begin(store)).epoch)
        for flags in applications:
            await asyncio.to_thread(flags.start)
        await until(lambda: all(flags.is_enabled("basket", "x", "kim@example.com") for flags in applications))
        await until(lambda: all(flags.status().counts.push_connections == 1 for flags in applications))

        found = await groups_of(redis, "cluster-wide")
        switched = await switch_off(
            [FlagStore(redis, "cluster-wide", group) for group in found],
            by="kim",
            reason="everything is down",
            within=timedelta(seconds=15),
            lease=timedelta(seconds=3),
        )

        assert found == groups
        assert all(outcome.verified for outcome in switched)
        await until(lambda: not any(flags.is_enabled("basket", "x", "kim@example.com") for flags in applications))
        await until(lambda: all(flags.status().counts.pushes == 1 for flags in applications))
        assert (await snapshot_of(FlagStore(redis, "cluster-wide", groups[0]))).latch
    finally:
        for flags in applications:
            await asyncio.to_thread(flags.close)
        await redis.aclose()
