"""Which environment, plan or flag is meant: said by its name, found where there is only one, and listed where not."""

import asyncio
import uuid

import pytest

from flagstore.connection import connect
from flagstore.store import FlagStore
from local.stack import LocalStack
from tests.flagstore.ground import begin
from tests.starter.command_line import Rollout, Run


async def begun_in(url: str, environment: str, group: str) -> None:
    redis = connect(url)
    await begin(FlagStore(redis, environment, group), f"rollout/{group}/{environment}", flags=("basket",))
    await redis.aclose()


@pytest.mark.parametrize(
    "command_given",
    [
        ("status", "{}", "--emergency-check"),
        ("flags", "list", "--group", "{}"),
        ("emergency-disable", "{}", "--reason", "down"),
        ("emergency-rollback", "{}", "--direct", "--reason", "down"),
    ],
    ids=" ".join,
)
def test_a_name_in_two_environments_is_refused_with_both_until_one_is_named(
    stack: LocalStack, command: Rollout, command_given: tuple[str, ...]
) -> None:
    group = f"shop-{uuid.uuid4().hex[:8]}"
    environments = sorted(f"{where}-{uuid.uuid4().hex[:8]}" for where in ("production", "staging"))
    for environment in environments:
        asyncio.run(begun_in(stack.redis.url, environment, group))
    given = [part.format(group) for part in command_given]

    refused = command(*given)

    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        f"--environment: {group} is in several environments, say which one: {', '.join(environments)}\n"
    )
    assert command(*given, "--environment", environments[0]).code == 0


def test_a_name_that_the_store_does_not_hold_is_refused_with_those_that_it_does(
    stack: LocalStack, command: Rollout
) -> None:
    environment = f"production-{uuid.uuid4().hex[:8]}"
    asyncio.run(begun_in(stack.redis.url, environment, "shop"))

    for given in (("emergency-disable", "shp", "--reason", "down"), ("flags", "list", "--environment", "prod")):
        refused = command(*given)
        assert refused.code == 2
        assert "the flag store holds nothing" in refused.err
        assert f"shop ({environment})" in refused.err.partition("; it holds ")[2]


def test_a_kill_switch_is_cleared_by_its_plans_name_alone_while_temporal_is_down(stack: LocalStack, run: Run) -> None:
    without_temporal = {**stack.environment, "TEMPORAL_ADDRESS": "127.0.0.1:1"}
    group = f"shop-{uuid.uuid4().hex[:8]}"
    asyncio.run(begun_in(stack.redis.url, "production", group))
    assert run(without_temporal, "emergency-disable", group, "--reason", "down").code == 0

    cleared = run(without_temporal, "rearm", group, "--reason", "understood")
    assert (cleared.code, cleared.err) == (0, "")

    asyncio.run(begun_in(stack.redis.url, "staging", group))
    unclear = run(without_temporal, "rearm", group, "--reason", "understood")
    assert unclear.code == 2
    assert "is in several environments, say which one: production, staging" in unclear.err


def test_of_a_flag_that_two_plans_have_the_one_that_is_named_is_meant(stack: LocalStack, command: Rollout) -> None:
    environment = f"production-{uuid.uuid4().hex[:8]}"
    for group in ("shop", "till"):
        asyncio.run(begun_in(stack.redis.url, environment, group))
    history = ("flags", "history", "--flag", "basket", "--environment", environment)

    assert command(*history).err == "--flag basket: several plans have it, say which one by --group: shop, till\n"
    told = command(*history, "--group", "till")
    assert told.code == 0, told.err
    assert "\ntill: 1 entry kept, every entry fits the one before it\n" in told.out
    by_hand = ("--environment", environment, "--group", "till")
    assert command("update-stage", "--flag", "basket", "--stage", "internal", "--force", *by_hand).code == 0
    assert command("flags", "get", "basket", *by_hand).out.startswith(f"basket (till, {environment}): internal, ")
    nowhere = command(*history[:3], "bskt", *history[4:], "--group", "till")
    assert nowhere.err == "--flag bskt: there is no such flag of till; there are basket\n"
