"""A plan's secret checks: a stage does not begin without them, and no value ever reaches the rollout."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from sandbox.options import InstalledSecret
from sandbox.secrets import DISABLED, ENABLED
from tests.workflows.shipped_plans import shipped
from tests.workflows.world import STABLE_IMAGE, World, laid_out

SERVICE, SECRET, VALUE = "storefront", "db-password", "opensesame"


def with_secret_check(plan: RolloutPlan) -> RolloutPlan:
    written = plan.model_dump(mode="json", exclude_none=True)
    project = plan.services[SERVICE].project
    written["stages"][0]["checks"]["before"].append({"kind": "secret", "project": project, "name": SECRET})
    return RolloutPlan.model_validate(written)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with laid_out(with_secret_check(shipped("traffic-canary.yaml")), tmp_path, secrets=False) as laid:
        yield laid


async def stored(world: World) -> str:
    """Put the secret in place; the full name of its one version."""
    project = world.plan.services[SERVICE].project
    await world.sandbox.install_secret(InstalledSecret.parse(f"{project}/{SECRET}={VALUE}"))
    return f"projects/{project}/secrets/{SECRET}/versions/1"


async def revisions(world: World) -> list[str]:
    (record,) = world.sandbox.services
    return [revision.image for revision in record.revisions.values()]


async def test_without_the_secret_nothing_is_deployed_and_the_rollout_says_which_one(world: World) -> None:
    handle = await world.start()
    result = await handle.result()

    assert result.status is RolloutStatus.ROLLED_BACK
    assert result.rollback is not None
    assert f"secret {SECRET} (latest): projects/" in result.rollback.reason
    assert "is not there" in result.rollback.reason
    assert await revisions(world) == [STABLE_IMAGE.format(SERVICE)]


async def test_a_disabled_secret_holds_the_stage_until_somebody_enables_it_and_no_value_is_in_the_history(
    world: World,
) -> None:
    version = world.sandbox.secrets.version(await stored(world))
    await world.sandbox.secrets.set_state(version, DISABLED)
    handle = await world.start()
    await world.until_under_way(handle, "check_secret", 1)
    await world.sleep(timedelta(seconds=30))
    assert len(await revisions(world)) == 1
    await world.sandbox.secrets.set_state(version, ENABLED)
    await world.until(handle, RolloutStatus.SOAKING, stage="canary")
    history = await handle.fetch_history()

    assert len(await revisions(world)) == 2
    assert "check_secret" in history.to_json()
    assert VALUE not in history.to_json()
