"""An emergency whose worker or server goes while it is being carried out: the command notices, and does the rest."""

import asyncio
from asyncio.subprocess import Process
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client

from local.ports import free_port
from rollout.progress import RolloutProgress, RolloutStatus
from starter import direct_rollback
from starter.outcome import CommandEnds
from starter.rollouts import Rollouts
from tests.flagstore.faulty_wire import FaultyWire
from tests.starter.command_line import Ran, rollout_under_way
from tests.starter.test_direct_without_the_store import NAME, emergency, give, in_canary, typed, variables_of
from tests.workflows.many_rollouts import one_rollout
from tests.workflows.outside_faults import FAILING, HUNG
from tests.workflows.partial_workers import nobody, working
from tests.workflows.small_plans import IN_CANARY, plan_of, plan_text
from tests.workflows.world import POLL_SECONDS, REAL_SECONDS, Handle, World

UNCHANGED = HUNG["Cloud Run does not answer changes"]
REFUSED = FAILING["Cloud Run refuses changes"]
NOBODY_LISTENS = "127.0.0.1:1"
MISSED = "the worker that began has not answered for 10 s"
FROM_HERE = "Doing it from here, on the flag store and Cloud Run themselves:"


async def shows(giving: Process, text: str) -> None:
    """Wait until a line with the text was printed: what the command has seen of the rollout is known then."""
    assert giving.stdout is not None
    async with asyncio.timeout(REAL_SECONDS):
        while text not in (line := (await giving.stdout.readline()).decode()):
            assert line, "it ended without it"


async def begun(world: World, handle: Handle) -> None:
    """Wait until the rollout goes back; its flags are not off yet."""
    async with asyncio.timeout(REAL_SECONDS):
        while (progress := await world.progress(handle)).rollback is None:  # noqa: ASYNC110  (the server is asked)
            await asyncio.sleep(POLL_SECONDS)
    assert not progress.rollback.steps


async def settles(world: World, handle: Handle) -> RolloutProgress:
    await world.until_under_way(handle, "guard_rollback", 1)
    return await world.progress(handle)


def wire_to_temporal(client: Client) -> FaultyWire:
    return FaultyWire(int(client.service_client.config.target_host.rpartition(":")[2]))


async def test_a_worker_that_dies_before_the_traffic_is_back_is_missed_and_the_command_gives_it_back(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        handle, progress = await in_canary(world, land)
        UNCHANGED.strike(land)
        async with working(land):
            giving = await rollout_under_way(*emergency(NAME), environment=variables_of(land))
            await shows(giving, "rollout: flags off")
        UNCHANGED.lift(land)
        out, err = await giving.communicate()

        assert giving.returncode == 0, (out + err).decode()
        assert MISSED in err.decode()
        assert FROM_HERE in err.decode()
        assert await world.is_safe(progress)
        async with working(land):
            assert (await settles(world, handle)).status is RolloutStatus.ROLLED_BACK
            assert await world.is_safe(progress)


async def test_a_worker_that_cannot_reach_the_flag_store_keeps_nobody_who_can_from_turning_the_flags_off(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        handle, progress = await in_canary(world, land)
        async with working(land):
            land.wire.silence()
            ran = await give(land, NAME)

            assert ran.code == 0, ran.out + ran.err
            assert "the flags are still on after 10 s" in ran.err
            assert await world.is_safe(progress)
            land.wire.speak()
            land.wire.cut()
            assert (await settles(world, handle)).status is RolloutStatus.ROLLED_BACK
            assert await world.is_safe(progress)


@pytest.mark.parametrize("silently", [True, False], ids=["it hangs", "it is gone"])
async def test_a_server_that_goes_while_the_rollout_is_awaited_leaves_the_rest_to_the_command(
    tmp_path: Path, silently: bool
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        handle, progress = await in_canary(world, land)
        land.wire.silence()
        with wire_to_temporal(land.environment.client) as wire:
            async with working(land):
                giving = asyncio.create_task(give(land, NAME, TEMPORAL_ADDRESS=f"127.0.0.1:{wire.port}"))
                await begun(world, handle)
            if silently:
                wire.silence()
            else:
                wire.lead_to(free_port())
            ran = await giving

        assert ran.code == 0, ran.out + ran.err
        assert "Temporal did not say how rollout/glass is" in ran.err
        assert FROM_HERE in ran.err
        assert await world.is_safe(progress)


async def test_while_cloud_run_takes_long_from_here_too_what_to_type_is_said_and_the_command_goes_on_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_rollback, "BY_HAND_AFTER", timedelta(seconds=1))
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        _, progress = await in_canary(world, land)
        monkeypatch.setenv("ROLLOUT_REDIS_URL", land.redis.url)
        monkeypatch.setenv("ROLLOUT_GOOGLE_ENDPOINT", land.sandbox.grpc_target)
        monkeypatch.setenv("TEMPORAL_ADDRESS", NOBODY_LISTENS)
        REFUSED.strike(land)
        heard, said = list[str](), asyncio.Event()

        def hear(text: str) -> None:
            heard.append(text)
            if "by hand" in text:
                said.set()

        going_back = asyncio.create_task(
            direct_rollback.roll_back_directly(None, NAME, by="kim", reason="checkout is down", tell=hear)
        )
        await asyncio.wait_for(said.wait(), timeout=REAL_SECONDS)
        REFUSED.lift(land)
        done = await going_back

        (by_hand,) = [text for text in heard if "by hand" in text]
        assert by_hand.startswith(f"traffic of {NAME}: not back after 1 s; it goes on being tried. Beside it, by hand:")
        assert f"gcloud run services update-traffic {NAME} --project=" in by_hand
        assert done.verified
        assert await world.is_safe(progress)


async def deleted(client: Client, handle: Handle) -> None:
    """Wait until the server knows nothing of it."""
    execution = WorkflowExecution(workflow_id=handle.id)
    request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    await client.workflow_service.delete_workflow_execution(request)
    async with asyncio.timeout(REAL_SECONDS):
        while True:
            try:
                await Rollouts(client).describe(handle.id)
            except CommandEnds:
                return
            await asyncio.sleep(POLL_SECONDS)


async def test_a_rollout_that_temporal_has_forgotten_is_taken_back_by_its_name_and_a_mistyped_one_is_refused(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        handle, progress = await in_canary(world, land)
        await deleted(land.environment.client, handle)

        mistyped: Ran = await give(land, "glas")
        ran = await give(land, NAME)

        assert mistyped.code == 2
        assert mistyped.err.startswith("there is no rollout 'glas'; `rollout list --all` shows those there are")
        assert ran.code == 0, ran.out + ran.err
        assert "In the flag store a rollout of glass has not ended, and none runs in Temporal" in ran.err
        assert await world.is_safe(progress)


async def test_a_start_that_was_refused_after_a_rollout_was_terminated_hides_it_from_nobody(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        handle, progress = await in_canary(world, land)
        await handle.terminate("a mistake")
        terminated = await typed(land, "status", NAME, "--json")
        file = tmp_path / f"{NAME}.yaml"
        file.write_text(plan_text(NAME, IN_CANARY), encoding="utf-8")
        begun_again = await typed(land, "start", file, "--image", "backend=example/backend:3")
        # As from Temporal's UI: nothing asks before it.
        async with working(land):
            refused = await (await world.start()).result()

        shown = await typed(land, "status", NAME)
        as_json = await typed(land, "status", NAME, "--json")
        ran = await give(land, NAME)

        assert begun_again.code == 2
        assert begun_again.err.startswith(
            f"the rollout of {NAME} before this one was ended from outside, and still owns"
        )
        assert refused.status is RolloutStatus.REFUSED
        assert shown.out.startswith(f"In the flag store a rollout of {NAME} has not ended, and none runs in Temporal")
        assert terminated.json["left_behind"] is True
        assert as_json.json["left_behind"] is True
        assert ran.code == 0, ran.out + ran.err
        assert FROM_HERE in ran.err
        assert await world.is_safe(progress)
