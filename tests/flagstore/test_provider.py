"""What an application hears through an unmodified OpenFeature client."""

from collections.abc import Iterator

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus
from openfeature.transaction_context import (
    ContextVarsTransactionContextPropagator,
    set_transaction_context,
    set_transaction_context_propagator,
)
from openfeature.transaction_context.no_op_transaction_context_propagator import NoOpTransactionContextPropagator
from redis.asyncio import Redis

from flagstore.evaluation_counts import Answer, EvaluationCounts
from flagstore.provider import RolloutProvider
from flagstore.store import FlagStore
from local.ports import LOOPBACK, free_port
from local.redis_server import RedisServer
from rollout.flags import Exposure
from tests.flagstore.ground import (
    CANARY,
    ENVIRONMENT,
    FULL,
    GROUP,
    INTERNAL,
    OFF,
    begin,
    climb,
    has_read,
    snapshot_of,
    to,
)
from tests.flagstore.waiting import until

DOMAIN = "rollout"
INTERNAL_PERSON = EvaluationContext("user-1", {"email": "kim@example.com"})
STRANGER = EvaluationContext("user-1", {"email": "somebody@example.org"})


@pytest.fixture(autouse=True)
def no_provider_stays() -> Iterator[None]:
    yield
    api.clear_providers()
    api.clear_hooks()


def provided(url: str) -> tuple[RolloutProvider, OpenFeatureClient]:
    provider = RolloutProvider(url, ENVIRONMENT, GROUP)
    api.set_provider_and_wait(provider, domain=DOMAIN)
    return provider, api.get_client(domain=DOMAIN)


async def follow(url: str) -> tuple[RolloutProvider, OpenFeatureClient]:
    provider, client = provided(url)
    await until(lambda: has_read(provider.flags))
    return provider, client


@pytest.mark.parametrize(
    ("exposure", "context", "value", "reason"),
    [
        pytest.param(OFF, INTERNAL_PERSON, False, Reason.DISABLED, id="off"),
        pytest.param(INTERNAL, INTERNAL_PERSON, True, Reason.TARGETING_MATCH, id="internal for an internal person"),
        pytest.param(INTERNAL, STRANGER, False, Reason.SPLIT, id="internal for a stranger"),
        pytest.param(CANARY, INTERNAL_PERSON, True, Reason.TARGETING_MATCH, id="canary for an internal person"),
        pytest.param(CANARY, EvaluationContext("user-1"), False, Reason.SPLIT, id="canary for somebody outside"),
        pytest.param(FULL, STRANGER, True, Reason.STATIC, id="full for a stranger"),
    ],
)
async def test_an_answer_says_why(
    server: RedisServer, store: FlagStore, exposure: Exposure, context: EvaluationContext, value: bool, reason: Reason
) -> None:
    fence = (await begin(store)).epoch
    if exposure != OFF:
        await climb(store, exposure, fence)
    snapshot = await snapshot_of(store)
    _, client = await follow(server.url)

    found = client.get_boolean_details("basket", not value, context)

    assert (found.value, found.reason, found.error_code) == (value, reason, None)
    assert found.variant == ("on" if value else "off")
    assert found.flag_metadata == {
        "stage": exposure.stage,
        "epoch": snapshot.epoch,
        "rev": snapshot.rev,
        "latch": False,
    }
    assert client.get_string_value("basket", "unknown", context) == exposure.stage
    assert client.get_object_value("basket", {}, context) == {"enabled": value, **found.flag_metadata}


@pytest.mark.parametrize(
    ("flag", "context", "error"),
    [
        ("nonesuch", STRANGER, ErrorCode.FLAG_NOT_FOUND),
        ("basket", EvaluationContext(), ErrorCode.TARGETING_KEY_MISSING),
        ("basket", EvaluationContext("\ud800"), ErrorCode.INVALID_CONTEXT),
    ],
)
async def test_a_question_that_cannot_be_answered_gives_the_default_and_names_the_error(
    server: RedisServer, store: FlagStore, flag: str, context: EvaluationContext, error: ErrorCode
) -> None:
    fence = (await begin(store)).epoch
    await climb(store, CANARY, fence)
    _, client = await follow(server.url)

    for default in (False, True):
        found = client.get_boolean_details(flag, default, context)
        assert (found.value, found.reason, found.error_code) == (default, Reason.ERROR, error)


async def test_a_flag_is_no_number(server: RedisServer, store: FlagStore) -> None:
    await begin(store)
    _, client = await follow(server.url)

    assert client.get_integer_details("basket", 7, STRANGER).error_code is ErrorCode.TYPE_MISMATCH
    assert client.get_float_details("basket", 7.0, STRANGER).error_code is ErrorCode.TYPE_MISMATCH


async def test_an_emergency_is_told_as_a_change_and_every_answer_after_it_is_disabled(
    server: RedisServer, store: FlagStore
) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    _, client = await follow(server.url)
    told: list[EventDetails] = []
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, told.append)

    reply = await store.emergency(by="kim", reason="down")
    await until(lambda: any(event.metadata.get("epoch") == reply.epoch for event in told))

    found = client.get_boolean_details("basket", False, INTERNAL_PERSON)
    assert (found.value, found.reason, found.flag_metadata["latch"]) == (False, Reason.DISABLED, True)
    assert told[-1].flags_changed == ["basket", "search"]


async def test_a_store_that_cannot_be_reached_at_the_start_is_off_and_stale() -> None:
    _, client = provided(f"redis://{LOOPBACK}:{free_port()}/0")

    await until(lambda: client.get_provider_status() is ProviderStatus.STALE)

    found = client.get_boolean_details("basket", False, INTERNAL_PERSON)
    assert (found.value, found.reason, found.error_code) == (False, Reason.DEFAULT, None)
    assert not client.get_boolean_value("basket", True, INTERNAL_PERSON)


async def test_lost_writes_are_an_error_of_the_provider_and_a_newer_position_ends_it(
    server: RedisServer, store: FlagStore, redis: Redis
) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    older = (await snapshot_of(store)).model_dump_json()
    await store.emergency(by="kim", reason="down")
    _, client = await follow(server.url)

    await redis.set(store.keys.snapshot, older)
    await until(lambda: client.get_provider_status() is ProviderStatus.ERROR)
    found = client.get_boolean_details("basket", False, INTERNAL_PERSON)
    assert (found.value, found.reason) == (False, Reason.STALE)

    await store.emergency(by="guard", reason="the latch was lost")
    await until(lambda: client.get_provider_status() is ProviderStatus.READY)
    assert client.get_boolean_details("basket", False, INTERNAL_PERSON).reason == Reason.DISABLED


async def test_the_person_of_a_request_can_be_told_once_for_all_its_questions(
    server: RedisServer, store: FlagStore
) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    _, client = await follow(server.url)
    set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    try:
        set_transaction_context(INTERNAL_PERSON)
        assert client.get_boolean_value("basket", False)
        assert await client.get_boolean_value_async("basket", False)
    finally:
        set_transaction_context_propagator(NoOpTransactionContextPropagator())


async def test_answers_are_counted_by_flag_variant_reason_and_revision(server: RedisServer, store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    rev = (await to(store, INTERNAL, fence)).rev
    _, client = await follow(server.url)
    counts = EvaluationCounts()
    api.add_hooks([counts])

    for context in (INTERNAL_PERSON, INTERNAL_PERSON, STRANGER):
        client.get_boolean_value("basket", False, context)
    client.get_boolean_value("nonesuch", False, STRANGER)

    assert counts.take() == {
        Answer("basket", "on", Reason.TARGETING_MATCH, rev): 2,
        Answer("basket", "off", Reason.SPLIT, rev): 1,
        Answer("nonesuch", "default", Reason.ERROR, 0): 1,
    }
    assert counts.take() == {}


async def test_the_provider_says_its_name_and_after_its_end_everything_is_off(
    server: RedisServer, store: FlagStore
) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    provider, client = await follow(server.url)
    assert client.get_boolean_value("basket", False, INTERNAL_PERSON)

    provider.shutdown()

    assert provider.get_metadata().name == "rollout-flags"
    assert not client.get_boolean_value("basket", True, INTERNAL_PERSON)
