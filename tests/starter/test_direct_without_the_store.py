"""Breaking the glass with the flag store away, or without its data, and with no worker: Temporal's history knows."""

import asyncio
from pathlib import Path

import pytest

from activities.cloud_run import RestoreTraffic
from local.redis_server import RedisServer
from rollout.commands import CommandName
from rollout.messages import Answer, Command
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.traffic import TrafficSplit
from starter.rollouts import Rollouts
from tests.starter.command_line import Ran, rollout
from tests.workflows.many_rollouts import SHORTLY, SOON, Land, land_for, one_rollout
from tests.workflows.partial_workers import nobody, working
from tests.workflows.small_plans import IN_CANARY, Shape, plan_of
from tests.workflows.world import POLL_SECONDS, REAL_SECONDS, Handle, World

NAME = "glass"
TEMPORAL_IS_AWAY = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}


async def in_canary(world: World, land: Land) -> tuple[Handle, RolloutProgress]:
    """A tenth of the users see the features, all traffic goes to the candidate, and then the worker dies."""
    async with working(land):
        handle = await world.start()
        progress = await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
    assert await world.candidate_shares(progress) == {"backend": 100}
    return handle, progress


async def give(land: Land, *arguments: str, **changed: str | None) -> Ran:
    """An emergency, with the variables of the land; those that are changed to None are not set."""
    return await typed(land, *emergency(*arguments), **changed)


def emergency(*arguments: str) -> tuple[str, ...]:
    return ("emergency-rollback", *arguments, "--reason", "checkout is down", "--by", "kim")


async def typed(land: Land, *command: object, **changed: str | None) -> Ran:
    return await asyncio.to_thread(rollout, *command, environment=variables_of(land, **changed))


def variables_of(land: Land, **changed: str | None) -> dict[str, str]:
    known = {
        "ROLLOUT_REDIS_URL": land.redis.url,
        "ROLLOUT_GOOGLE_ENDPOINT": land.sandbox.grpc_target,
        "TEMPORAL_ADDRESS": land.environment.client.service_client.config.target_host,
        **changed,
    }
    return {name: value for name, value in known.items() if value is not None}


async def served(world: World, progress: RolloutProgress) -> dict[str, TrafficSplit]:
    return {key: await world.cloud_run.read_traffic(anchor.service) for key, anchor in progress.anchors.items()}


def before(progress: RolloutProgress) -> dict[str, int]:
    return progress.anchors["backend"].split.shares


@pytest.mark.parametrize(
    "arguments", [(NAME, "--direct"), ("--direct",), (NAME,)], ids=["named", "unnamed", "found out"]
)
async def test_traffic_goes_back_by_the_history_and_what_is_left_is_said_and_done_by_the_next_worker(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        handle, progress = await in_canary(world, land)
        land.redis.kill()

        ran = await give(land, *arguments)

        assert ran.code == 1, ran.out + ran.err
        assert f"flags of {NAME}: NOT OFF: the flag store at {land.redis.url} did not answer" in ran.out
        assert "turn flags of some users off by themselves after 10 s, all flags after 4 min" in ran.out
        assert f"\n  rollout emergency-disable {NAME} --environment matrix --reason …\n" in ran.out
        assert f"{NAME}: its rollout is told; the next worker sees to whatever is left" in ran.out
        assert f"traffic of {NAME}: {progress.anchors['backend'].stable} 100 %, read back after" in ran.out
        assert "NOT VERIFIED: see above for what is left to do" in ran.err
        assert (await served(world, progress))["backend"].shares == before(progress)

        again = RedisServer.start(land.redis.directory, land.redis.port)
        try:
            async with working(land):
                await world.until_under_way(handle, "guard_rollback", 1)
                settled = await world.progress(handle)
                assert settled.status is RolloutStatus.ROLLED_BACK, settled.why
                assert await world.is_safe(settled)
                assert [notice.title for notice in land.channel.notices if "refused" in notice.title] == []
        finally:
            again.stop()


@pytest.mark.parametrize("arguments", [(NAME, "--direct"), (NAME,)], ids=["direct", "found out"])
async def test_without_the_store_s_address_traffic_goes_back_by_the_history_and_flags_are_said_to_be_untouched(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        handle, progress = await in_canary(world, land)
        before_it = await world.flags()

        ran = await give(land, *arguments, ROLLOUT_REDIS_URL=None)

        assert ran.code == 1, ran.out + ran.err
        untouched = f"flags of {NAME}: NOT OFF: not touched from here, where ROLLOUT_REDIS_URL is not set"
        by_hand = f"\n  ROLLOUT_REDIS_URL=redis://… rollout emergency-disable {NAME} --environment matrix --reason …\n"
        assert untouched in ran.out
        assert by_hand in ran.out
        assert f"traffic of {NAME}: {progress.anchors['backend'].stable} 100 %, read back after" in ran.out
        assert "NOT VERIFIED: see above for what is left to do" in ran.err
        assert (await served(world, progress))["backend"].shares == before(progress)
        assert await world.flags() == before_it
        async with working(land):
            await world.until_under_way(handle, "guard_rollback", 1)
            assert await world.is_safe(await world.progress(handle))


async def test_a_store_whose_record_is_damaged_has_its_flags_off_and_traffic_goes_back_by_the_history(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        _, progress = await in_canary(world, land)
        await land.reading.hset(world.store.keys.safety, mapping={"anchors": "no JSON", "candidates": "[]"})

        ran = await give(land, NAME, "--direct")

        assert ran.code == 0, ran.out + ran.err
        assert f"traffic of {NAME}: {progress.anchors['backend'].stable} 100 %, read back after" in ran.out
        assert (await served(world, progress))["backend"].shares == before(progress)
        assert (await world.flags()).is_latched_off


async def test_without_the_store_s_address_and_temporal_nothing_is_called_done(tmp_path: Path) -> None:
    async with land_for([NAME], tmp_path, worked_by=nobody) as land:
        ran = await give(land, NAME, "--direct", ROLLOUT_REDIS_URL=None, **TEMPORAL_IS_AWAY)

        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("NOT DONE: ROLLOUT_REDIS_URL is not set")


async def test_what_a_later_kill_switch_gave_back_before_the_store_went_away_is_not_called_left_to_do(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        _, progress = await in_canary(world, land)
        for _ in range(2):
            assert (await world.store.emergency(by="robin", reason="from a terminal")).accepted
        fence, anchor = (await world.flags()).epoch, progress.anchors["backend"]
        await world.cloud_run.restore_traffic(RestoreTraffic(anchor=anchor, candidate=None, fence=fence))
        land.redis.kill()

        ran = await give(land, NAME, "--direct")

        assert fence > progress.fence + 1
        assert f"traffic of {NAME}: {anchor.stable} 100 %, read back after" in ran.out, ran.out
        assert "NOT RESTORED" not in ran.out


async def test_a_store_that_lost_its_data_is_latched_again_and_traffic_goes_back_by_the_history(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        _, progress = await in_canary(world, land)
        await land.reading.flushall()

        ran = await give(land, NAME, "--direct")

        assert ran.code == 0, ran.out + ran.err
        assert "VERIFIED: flags off, traffic at its anchor" in ran.out
        assert await world.is_safe(progress)
        assert set((await world.store.read_safety()).refused) == {f"backend={progress.images['backend']}"}
        # Applications believe no epoch that is not above the one they have seen.
        assert (await world.flags()).epoch > progress.fence

        check = ("status", NAME, "--emergency-check")
        read_back, unknown = await typed(land, *check), await typed(land, *check, **TEMPORAL_IS_AWAY)
        assert (read_back.code, read_back.out.splitlines()[-1]) == (0, "SAFE"), read_back.out + read_back.err
        assert f"safe       traffic of {NAME} ({NAME}): {progress.anchors['backend'].stable} 100 %" in read_back.out
        assert unknown.code == 1
        assert f"unreadable traffic of {NAME}: the flag store does not hold what it was before" in unknown.out


async def test_a_store_that_is_empty_and_takes_no_writes_keeps_nobody_from_the_traffic(tmp_path: Path) -> None:
    """After a failover to a copy that had nothing yet."""
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        handle, progress = await in_canary(world, land)
        await land.reading.flushall()
        await land.reading.replicaof("127.0.0.1", "1")

        ran = await give(land, NAME, "--direct")

        assert ran.code == 1, ran.out + ran.err
        assert f"flags of {NAME}: NOT OFF" in ran.out
        assert (await served(world, progress))["backend"].shares == before(progress)
        history = await handle.fetch_history()
        assert any(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)


async def test_anchors_that_the_store_lost_are_read_from_the_history(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        _, progress = await in_canary(world, land)
        await land.reading.hdel(world.store.keys.safety, "anchors")

        ran = await give(land, NAME, "--direct")

        assert ran.code == 0, ran.out + ran.err
        assert "the flag store has no record of what its traffic was before; its history in Temporal has it" in ran.out
        assert await world.is_safe(progress)


async def test_a_run_that_continued_another_one_was_given_the_anchors(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, *SHORTLY, worked_by=nobody) as (land, world):
        async with working(land):
            handle = await world.start()
            progress = await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
            while (await world.progress(handle)).run_id == progress.run_id:
                await handle.execute_update(CommandName.RETRY, Command(by="kim"), result_type=Answer)
        land.redis.kill()

        ran = await give(land, NAME, "--direct")

        assert ran.code == 1, ran.out + ran.err
        assert (await served(world, progress))["backend"].shares == before(progress)


async def test_with_temporal_away_too_nothing_is_done_and_everything_left_is_said(tmp_path: Path) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        await in_canary(world, land)
        land.redis.kill()

        ran = await give(land, NAME, "--direct", **TEMPORAL_IS_AWAY)

        assert ran.code == 1
        assert "NOT DONE: the flag store" in ran.err
        assert "What the traffic was before is in that store too, and Temporal did not say it." in ran.err


async def test_of_a_rollout_whose_workflow_was_terminated_it_is_said_that_nobody_else_turns_its_flags_off(
    tmp_path: Path,
) -> None:
    async with one_rollout(plan_of(NAME, IN_CANARY), tmp_path, worked_by=nobody) as (land, world):
        handle, progress = await in_canary(world, land)
        await handle.terminate("a mistake")
        land.redis.kill()

        ran = await give(land, NAME, "--direct")

        assert ran.code == 1, ran.out + ran.err
        assert "no rollout runs that could be told, so that nobody else sees to what is left" in ran.out
        assert f"\n  rollout emergency-disable {NAME} --environment matrix --reason …\n" in ran.out
        assert (await served(world, progress))["backend"].shares == before(progress)


async def test_with_several_rollouts_open_and_none_named_nothing_is_done_and_they_are_listed(tmp_path: Path) -> None:
    names = ["glass", "other"]
    async with land_for(names, tmp_path, worked_by=nobody) as land:
        started = [await land.world(plan_of(name, Shape())).start() for name in names]
        async with asyncio.timeout(REAL_SECONDS):
            while len(await Rollouts(land.environment.client).listed(only_open=True)) < len(names):  # noqa: ASYNC110  (the server is asked)
                await asyncio.sleep(POLL_SECONDS)
        land.redis.kill()

        ran = await give(land, "--direct")

        assert ran.code == 2, ran.out + ran.err
        assert "2 rollouts are open in Temporal; say whose traffic is to go back: glass, other" in ran.err
        for handle in started:
            events = (await handle.fetch_history()).events
            assert not any(event.HasField("workflow_execution_signaled_event_attributes") for event in events)
