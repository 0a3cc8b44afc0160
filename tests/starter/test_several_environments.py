"""Where a name exists in several environments, whoever means one of them has to say which."""

import asyncio
import uuid

import pytest

from flagstore.connection import connect
from flagstore.store import FlagStore
from local.stack import LocalStack
from rollout.flags import Audience
from starter.stage_change import EXPOSURES
from tests.starter.conftest import Rollout


async def begin(url: str, environment: str, group: str) -> None:
    redis = connect(url)
    await FlagStore(redis, environment, group).begin(
        owner=f"rollout/{group}/{environment}",
        by="kim",
        flags=("basket",),
        audience=Audience(domains=("example.com",), users=()),
        cohort=None,
        ladder=tuple(EXPOSURES.values()),
        candidates={},
    )
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
        asyncio.run(begin(stack.redis.url, environment, group))
    given = [part.format(group) for part in command_given]

    refused = command(*given)

    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        f"--environment: {group} is in several environments, say which one: {', '.join(environments)}\n"
    )
    assert command(*given, "--environment", environments[0]).code == 0
