"""A person passes over what holds a stage now. What held it before and passes again stays in force."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.messages import ResolveHold
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.verdict import Verdict
from starter.__main__ import run_command_line
from starter.rollouts import Rollouts, newest
from tests.starter.command_line import Ran
from tests.workflows.commanding import ask, refusal
from tests.workflows.many_rollouts import SOON, Land, land_for
from tests.workflows.small_plans import IN_CANARY, plan_of
from tests.workflows.world import REAL_SECONDS, Handle, World

NAME = "passed-over"
CommandLine = Callable[..., Awaitable[Ran]]


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[Land]:
    async with land_for([NAME], tmp_path) as laid:
        yield laid


@pytest.fixture
def command(land: Land, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The whole command line, beside the worker that it needs."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", land.environment.client.service_client.config.target_host)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", land.environment.client.namespace)

    async def ran(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["rollout", *arguments])
        capsys.readouterr()
        code = await asyncio.to_thread(run_command_line)
        printed = capsys.readouterr()
        return Ran(int(code), printed.out, printed.err)

    return ran


async def held_by_both_gates(land: Land) -> tuple[World, Handle]:
    world = land.world(plan_of(NAME, IN_CANARY))
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=SOON)
    land.source.failing = "Cloud Monitoring answers 503"
    held = await world.until(handle, RolloutStatus.HOLDING, step=SOON)
    assert held.current.soak_state is not None
    assert held.current.soak_state.causes == ("cascades", "cpu")
    return world, handle


async def until_seen(world: World, **expected: Verdict) -> RolloutProgress:
    """Until `rollout status` shows these judgements."""
    rollouts = Rollouts(world.client)
    async with asyncio.timeout(REAL_SECONDS):
        while True:
            progress = newest(await rollouts.observe(world.plan.workflow_id))
            assert progress is not None
            found = {judgement.gate: judgement.verdict for judgement in progress.judged.judgements}
            if expected.items() <= found.items():
                return progress
            await world.sleep(SOON)


async def test_a_gate_that_passes_again_is_not_passed_over_beside_the_one_that_holds_and_holds_when_it_is_silent(
    land: Land, command: CommandLine, tmp_path: Path
) -> None:
    world, handle = await held_by_both_gates(land)
    land.source.busy_plans.add(NAME)
    land.source.failing = ""
    shown = await until_seen(world, cascades=Verdict.PASS, cpu=Verdict.FAIL)
    assert shown.why.startswith("CPU")
    assert "Cascades" not in shown.why

    ran = await command("resolve-hold", "continue", NAME, "--reason", "a known load", "--by", "kim")

    assert ran.code == 0, ran.err
    assert "Next: cpu holds this stage no longer; cascades stays in force; what fails beyond its limit" in ran.out
    assert (await world.progress(handle)).current.waived == ("cpu",)
    land.source.failing = "Cloud Monitoring answers 503"
    again = await world.until(handle, RolloutStatus.HOLDING, step=SOON)
    assert again.current.soak_state is not None
    assert again.current.soak_state.causes == ("cascades",)


async def test_a_person_can_name_the_gate_and_one_that_does_not_hold_is_refused_with_those_that_do(
    land: Land, command: CommandLine, tmp_path: Path
) -> None:
    world, handle = await held_by_both_gates(land)

    wrong = await command("resolve-hold", "continue", NAME, "--gate", "memory")
    assert wrong.code == 2
    assert wrong.err == (
        f"{NAME}: cannot resolve hold: memory does not hold this stage; what holds it, or did, are cascades, cpu. "
        "Nothing was changed\n"
    )
    amiss = await command("resolve-hold", "rollback", NAME, "--gate", "cpu")
    assert (amiss.code, "goes with continue, not with rollback" in amiss.err) == (2, True)
    typed = ResolveHold(by="kim", how="rollback", gates=("cpu",))
    assert "passed over by continue, not by rollback" in await refusal(handle, CommandName.RESOLVE_HOLD, typed)
    still = await world.progress(handle)
    assert (still.status, still.current.waived) == (RolloutStatus.HOLDING, ())

    ran = await command("resolve-hold", "continue", NAME, "--gate", "cpu")

    assert ran.code == 0, ran.err
    assert "cpu holds this stage no longer; cascades stays in force" in ran.out
    assert (await world.progress(handle)).current.waived == ("cpu",)


async def test_where_nothing_says_which_gates_all_that_began_the_hold_are_passed_over_and_with_none_none_is(
    land: Land, tmp_path: Path
) -> None:
    world, handle = await held_by_both_gates(land)

    none = await ask(handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", how="continue", gates=()))

    assert none.next.startswith("no gate is passed over, cascades, cpu stay in force")
    assert (await world.progress(handle)).current.waived == ()
    # The source still fails.
    await world.until(handle, RolloutStatus.HOLDING, step=SOON)

    answer = await ask(handle, CommandName.RESOLVE_HOLD, ResolveHold(by="kim", how="continue"))

    assert answer.next.startswith("cascades, cpu hold this stage no longer")
    assert (await world.progress(handle)).current.waived == ("cascades", "cpu")
