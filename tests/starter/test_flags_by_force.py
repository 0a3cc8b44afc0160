"""`update-stage` speaks of `--force` only where the store would take what the rollout refuses."""

import asyncio
import uuid

import pytest

from flagstore.connection import connect
from flagstore.store import FlagStore
from local.stack import LocalStack
from rollout.progress import RolloutStatus
from starter.stage_change import EXPOSURES
from tests.flagstore.ground import begin
from tests.starter.command_line import Look, Ran, Rollout
from tests.starter.quick_rollout import closed, once

it_goes_back = once(lambda found: found.status is RolloutStatus.ROLLING_BACK)
STAGES = {name: {"basket": EXPOSURES[name]} for name in ("internal", "canary", "full")}


class Basket:
    """A flag in an environment of its own, owned by a rollout that Temporal does not know."""

    def __init__(self, stack: LocalStack, command: Rollout) -> None:
        self._url, self._command, self._environment = stack.redis.url, command, f"test-{uuid.uuid4().hex[:8]}"
        asyncio.run(self._begin())

    async def _begin(self) -> None:
        redis = connect(self._url)
        store, ladder = FlagStore(redis, self._environment, "shop"), [shown["basket"] for shown in STAGES.values()]
        await begin(store, "rollout/shop/first", flags=("basket",), ladder=ladder, stages=STAGES)
        await redis.aclose()

    def to(self, stage: str, *further: str) -> Ran:
        given = ("--flag", "basket", "--stage", stage, "--environment", self._environment, *further)
        return self._command("update-stage", *given)

    def disable(self) -> Ran:
        return self._command("emergency-disable", "--reason", "down", "--environment", self._environment)


@pytest.fixture
def basket(stack: LocalStack, command: Rollout) -> Basket:
    return Basket(stack, command)


def test_what_the_store_would_take_can_be_forced(basket: Basket) -> None:
    refused = basket.to("internal")

    assert refused.code == 2
    assert "basket is owned by rollout/shop/first" in refused.err
    assert "--force writes it to the store all the same" in refused.err
    assert basket.to("internal", "--force").code == 0


def test_a_stage_that_would_be_skipped_is_not_to_be_forced(basket: Basket) -> None:
    assert basket.to("full").err.endswith("; --force does not skip a stage either, and basket is at off\n")
    assert basket.to("full", "--force").code == 2


@pytest.mark.parametrize("stage", ["off", "nonsense"])
def test_what_is_so_already_or_does_not_exist_is_not_to_be_forced(basket: Basket, stage: str) -> None:
    assert "--force" not in basket.to(stage).err


def test_no_force_is_spoken_of_against_a_kill_switch(basket: Basket) -> None:
    assert basket.to("internal", "--force").code == 0
    assert basket.disable().code == 0

    refused = basket.to("canary")

    assert refused.code == 2
    assert refused.err.endswith("; the kill switch of shop is set, and --force does not override it\n")
    assert basket.to("canary", "--force").code == 2


def test_a_rollout_that_is_going_back_is_not_to_be_forced(command: Rollout, look: Look, quick: None) -> None:
    assert command("sandbox", "fault", "--method", "UpdateService", "--code", "UNAVAILABLE").code == 0
    try:
        assert command("emergency-disable", "quick", "--reason", "down", "--environment", "test").code == 0
        look(it_goes_back)
        refused = command("update-stage", "--flag", "new_basket", "--stage", "canary", "--environment", "test")
    finally:
        command("sandbox", "fault", "--clear")
    look(closed)

    assert refused.code == 2
    assert "quick: cannot set stage: the rollout is rolling back. Nothing was changed" in refused.err
    assert "--force" not in refused.err
