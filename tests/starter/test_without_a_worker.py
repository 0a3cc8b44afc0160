"""What the commands say while Temporal answers and no worker does: the truth, and in time."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from config.temporal import connect
from local.temporal_server import NAMESPACE, TemporalServer
from rollout.commands import CommandName
from rollout.messages import SEARCH_ATTRIBUTES, Command, ResolveHold, RolloutRequest
from starter import controlling, emergency, rollouts, starting
from starter.hold_resolving import with_the_gates_that_hold
from starter.outcome import CommandEnds, ExitCode
from starter.plan_file import load_plan
from starter.rollouts import Rollouts
from starter.views import rollout_view

PLAN = load_plan(Path(__file__).with_name("small_plan.yaml"))
PATIENCE_SECONDS = 10.0
SHORT = timedelta(seconds=0.4)


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    server = TemporalServer.start(tmp_path_factory.mktemp("temporal"), search_attributes=SEARCH_ATTRIBUTES)
    yield server
    server.stop()


@pytest.fixture
async def open_rollouts(temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch) -> Rollouts:
    """One rollout that was started and that nobody has taken up, and commands with little patience."""
    monkeypatch.setattr(rollouts, "WORKER_ANSWERS_WITHIN", SHORT)
    monkeypatch.setattr(starting, "FIRST_WORD_WITHIN", SHORT)
    monkeypatch.setattr(controlling, "ANSWERED_WITHIN", SHORT)
    monkeypatch.setattr(emergency, "WORKER_MUST_ACT_WITHIN", SHORT)
    client = await connect({"TEMPORAL_ADDRESS": temporal.address, "TEMPORAL_NAMESPACE": NAMESPACE})
    found = Rollouts(client)
    if not await found.listed(only_open=True):
        request = RolloutRequest(plan=PLAN, images={"shop": "example/shop:2"}, by="kim", search_attributes=True)
        await starting.start(found, request)
    return found


async def test_a_started_rollout_is_recorded_and_its_silence_explained(open_rollouts: Rollouts) -> None:
    observation = await starting.first_word(open_rollouts, PLAN.workflow_id)
    assert observation.is_open
    assert observation.progress is None
    assert observation.silence == (
        "no worker answered within 0.4 s. `rollout worker` starts one; nothing is lost meanwhile, and a signal is "
        "kept until then"
    )


async def test_the_status_of_a_silent_rollout_is_what_the_server_knows(open_rollouts: Rollouts) -> None:
    console = Console(record=True, width=200, file=StringIO())
    console.print(rollout_view(await open_rollouts.observe(PLAN.workflow_id), "http://ui"))
    text = console.export_text()
    assert text.startswith("rollout/small: running, since 20")
    assert "no worker answered within 0.4 s" in text
    assert "ui       http://ui" in text


async def test_a_command_that_no_worker_takes_is_a_failure_and_no_promise(open_rollouts: Rollouts) -> None:
    with pytest.raises(CommandEnds) as ends:
        await controlling.ask(open_rollouts, PLAN.workflow_id, CommandName.PAUSE, Command(by="kim"), None)
    assert ends.value.code is ExitCode.FAILED
    assert ends.value.text.startswith("small: no worker took `pause` within 0.4 s, so nothing has changed yet")


async def test_without_a_worker_nobody_says_which_gates_hold_and_none_is_passed_over(open_rollouts: Rollouts) -> None:
    with pytest.raises(CommandEnds) as ends:
        await with_the_gates_that_hold(open_rollouts, PLAN.workflow_id, ResolveHold(by="kim", how="continue"))
    assert ends.value.code is ExitCode.FAILED
    assert ends.value.text.startswith("small: nobody can say what holds it: no worker answered within 0.4 s")
    assert ends.value.text.endswith("Nothing was changed")


async def test_an_emergency_that_no_worker_takes_is_recorded_and_not_verified(open_rollouts: Rollouts) -> None:
    told: list[str] = []
    with pytest.raises(emergency.NobodyActs) as ends:
        await emergency.take_back(
            open_rollouts,
            PLAN.workflow_id,
            by="kim",
            reason="x",
            redis_url="redis://127.0.0.1:1/0",
            tell=told.append,
        )
    assert ends.value.code is ExitCode.FAILED
    assert ends.value.text == "no worker answered within 0.4 s (`rollout worker` starts one). The signal is recorded"
    recorded, silence = told
    assert recorded == "rollout/small: the emergency signal is recorded; waiting until everything was read back"
    assert "flags: the store does not answer; it goes on being asked" in silence
    assert "turn flags of some users off by themselves after 10 s, all flags after 4 min" in silence
    history = await open_rollouts.client.get_workflow_handle(PLAN.workflow_id).fetch_history()
    assert any(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)


async def test_an_emergency_for_a_terminated_rollout_says_that_nothing_will_carry_it_out(
    open_rollouts: Rollouts,
) -> None:
    await open_rollouts.client.get_workflow_handle(PLAN.workflow_id).terminate("a test")
    with pytest.raises(emergency.NobodyActs) as ends:
        await emergency.take_back(
            open_rollouts, PLAN.workflow_id, by="kim", reason="x", redis_url=None, tell=lambda _: None
        )
    assert ends.value.text == "rollout/small was terminated: no rollout carries anything out"


async def test_the_temporal_ui_is_told_what_the_rollout_is_going_to_do(open_rollouts: Rollouts) -> None:
    description = await open_rollouts.describe(PLAN.workflow_id)
    assert await description.static_summary() == "small: example/shop:2"
    details = (await description.static_details() or "").replace("\u00a0", "")
    assert "| shop | example-shop / europe-west1 / shop | example/shop:2 |" in details
    assert "| dark | off | 0 % → 100 % | 1 h | health |" in details


async def test_several_open_rollouts_are_listed_to_choose_from(open_rollouts: Rollouts) -> None:
    other = PLAN.model_copy(update={"name": "other"})
    await starting.start(open_rollouts, RolloutRequest(plan=other, images={"shop": "example/shop:2"}, by="kim"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(await open_rollouts.listed(only_open=True)) < 2:  # noqa: ASYNC110  (the server's index follows)
            await asyncio.sleep(0.02)
    with pytest.raises(CommandEnds) as ends:
        await open_rollouts.chosen(None)
    assert ends.value.code is ExitCode.REFUSED
    first, *names = ends.value.text.splitlines()
    assert first == "2 rollouts are open; say which one:"
    assert sorted(names) == ["  other", "  small"]


async def test_an_unknown_namespace_is_named(temporal: TemporalServer) -> None:
    client = await connect({"TEMPORAL_ADDRESS": temporal.address, "TEMPORAL_NAMESPACE": "nowhere"})
    with pytest.raises(CommandEnds, match=r"Namespace nowhere is not found") as ends:
        await Rollouts(client).listed(only_open=True)
    assert ends.value.code is ExitCode.FAILED
