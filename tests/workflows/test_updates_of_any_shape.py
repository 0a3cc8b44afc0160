"""What a person may type as an Update in Temporal's own UI or command line: refused in words, or done, never stuck."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowUpdateFailedError
from temporalio.common import RawValue

from rollout.commands import CommandName
from rollout.messages import (
    LONGEST_IMAGE,
    LONGEST_NAME,
    LONGEST_TEXT,
    SIGNAL_EMERGENCY,
    Answer,
    Command,
    Extend,
    FlagStage,
    Promote,
    ReplaceCandidate,
    ResolveHold,
)
from rollout.progress import RolloutStatus
from tests.workflows import commanding
from tests.workflows.shipped_plans import shipped
from tests.workflows.world import REAL_SECONDS, Handle, World, laid_out_in_real_time


def raw(encoding: str, data: bytes) -> RawValue:
    """As Temporal's command line sends it with `--input-meta encoding=…`: nobody has looked at what it is."""
    return RawValue(Payload(metadata={"encoding": encoding.encode()}, data=data))


EXAMPLE = 'for example {"by": "kim", "reason": "checkout is slow"}'
KIM = {"by": "kim", "reason": "lunch"}
WRONG: dict[str, tuple[str, list[Any], str]] = {
    "no input": (CommandName.PAUSE, [], f"cannot pause: it came without an input; one object is expected, {EXAMPLE}"),
    "a text": (CommandName.PAUSE, ["hello"], f'cannot pause: the input is "hello"; one object is expected, {EXAMPLE}'),
    "a number": (CommandName.PAUSE, [7], f"cannot pause: the input is 7; one object is expected, {EXAMPLE}"),
    "nothing": (CommandName.PAUSE, [None], f"cannot pause: the input is null; one object is expected, {EXAMPLE}"),
    "a list": (CommandName.PAUSE, [[KIM]], 'the input is [{"by": "kim", "reason": "lunch"}]; one object is exp'),
    "bytes": (CommandName.PAUSE, [b"\xff\xfe"], "the input is bytes that are not JSON (b'\\xff\\xfe'); one object"),
    "text that calls itself JSON": (
        CommandName.PAUSE,
        [raw("json/plain", b"{oh no")],
        f"cannot pause: the input is bytes that are not JSON (b'{{oh no'); one object is expected, {EXAMPLE}",
    ),
    "an encoding that nobody knows": (
        CommandName.RESOLVE_HOLD,
        [raw("binary/encrypted", b"\x00\xff")],
        "cannot resolve hold: the input is bytes that are not JSON (b'\\x00\\xff'); one object is expected",
    ),
    "two inputs": (CommandName.PAUSE, [KIM, KIM], "cannot pause: it came with 2 inputs; one object is expected"),
    "an unknown field": (
        CommandName.PAUSE,
        [{**KIM, "why": "lunch"}],
        f'cannot pause: there is no field "why" (it holds "lunch"), only by (required), reason; {EXAMPLE}',
    ),
    "nobody": (CommandName.PAUSE, [{"by": " "}], 'the field by is " ", expected is a text that says who asks'),
    "a missing field": (
        CommandName.PAUSE,
        [{}],
        "the field by is missing, expected is a text that says who asks; for exam",
    ),
    "a reason that is a number": (
        CommandName.PAUSE,
        [{**KIM, "reason": 3}],
        "the field reason is 3, expected is a text",
    ),
    "a duration without a unit": (
        CommandName.EXTEND,
        [{**KIM, "more": 12}],
        "the field more is 12, expected is a duration with its unit, such as 90m, 12h or 2d, above 0 and at most 30d",
    ),
    "a word that is none of three": (
        CommandName.RESOLVE_HOLD,
        [{**KIM, "how": "keep"}],
        'cannot resolve hold: the field how is "keep", expected is continue, adopt or rollback',
    ),
    "force without a reason": (CommandName.PROMOTE, [{"by": "kim", "reason": " ", "force": True}], "needs a reason"),
    "names with blanks around them": (
        CommandName.SET_STAGE,
        [{**KIM, "flag": " factory_pattern ", "stage": " nope "}],
        "stage 'nope': the plan has deploy-off, internal, canary, staged, full, and off",
    ),
    "a blank name": (
        CommandName.SET_STAGE,
        [{**KIM, "flag": " ", "stage": "internal"}],
        "flag '' does not belong to the pl",
    ),
    "a blank image": (
        CommandName.REPLACE_CANDIDATE,
        [{**KIM, "images": {"backend ": " "}}],
        "cannot replace candidate: images.backend is '', expected is an image without spaces",
    ),
    "a name with a hyphen": ("step-back", [KIM], "there is no Update 'step-back'; did you mean step_back?"),
    "an emergency that is misspelt": ("emergency_rolback", [], "did you mean emergency_rollback?"),
    "a name like no other": ("hello", [KIM], "there is no Update 'hello'. Known are pause, resume, approve, promote"),
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    plan = shipped("rehearsal.yaml")
    async with laid_out_in_real_time(plan, tmp_path) as laid:
        yield laid


async def soaking(world: World) -> Handle:
    handle = await world.start()
    await world.until(handle, RolloutStatus.SOAKING, step=world.plan.check_interval / 20)
    return handle


async def test_an_update_of_a_wrong_shape_is_refused_in_words_and_leaves_the_rollout_as_it_was(world: World) -> None:
    handle = await soaking(world)
    said = {}

    for shape, (name, values, _) in WRONG.items():
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await asyncio.wait_for(handle.execute_update(name, args=values), REAL_SECONDS)
        said[shape] = str(refused.value.cause)

    assert [f"{shape}: {said[shape]}" for shape, (_, _, words) in WRONG.items() if words not in said[shape]] == []
    progress = await world.progress(handle)
    assert [event.text for event in progress.timeline if event.kind == "command"] == []
    history = await handle.fetch_history()
    assert not any(event.HasField("workflow_task_failed_event_attributes") for event in history.events)
    assert not any(event.HasField("workflow_execution_update_accepted_event_attributes") for event in history.events)


async def test_plain_json_of_the_right_shape_is_done_and_a_duration_is_read_as_it_is_written_elsewhere(
    world: World,
) -> None:
    handle = await soaking(world)

    extended = await handle.execute_update(CommandName.EXTEND, {**KIM, "more": "12h"}, result_type=Answer)
    paused = await handle.execute_update(CommandName.PAUSE, b'{"by": " kim ", "reason": "lunch"}', result_type=Answer)

    assert "extended by 12 h" in extended.happened
    unread = raw("binary/of-somebody-else", b'{"by": "kim", "reason": "back"}')
    resumed = await handle.execute_update(CommandName.RESUME, unread, result_type=Answer)
    assert (paused.happened, resumed.happened) == ("paused", "resumed")
    progress = await world.progress(handle)
    assert [event.text for event in progress.timeline][-2:] == ["paused by kim: lunch", "resumed by kim: back"]


async def test_after_commands_told_at_great_length_the_rollout_can_be_read_and_is_taken_back(world: World) -> None:
    handle = await soaking(world)
    for update in (CommandName.PAUSE, CommandName.RESUME, CommandName.PAUSE):
        await handle.execute_update(update, {"by": "k" * 700_000, "reason": "r" * 700_000}, result_type=Answer)

    progress = await world.progress(handle)
    (told,) = {event.text for event in progress.timeline if event.text.startswith("paused")}
    assert told == f"paused by {'k' * (LONGEST_NAME - 1)}…: {'r' * (LONGEST_TEXT - 1)}…"
    image = {"backend": "b" * (LONGEST_IMAGE + 1)}
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(CommandName.REPLACE_CANDIDATE, {**KIM, "images": image})
    assert "each at most 1,000 characters long" in str(refused.value.cause)
    await handle.signal(SIGNAL_EMERGENCY, {"by": "k" * 700_000, "reason": "r" * 700_000})
    rolled_back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=world.plan.check_interval / 20)
    assert await world.is_safe(rolled_back)


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        (SIGNAL_EMERGENCY, [], "emergency rollback"),
        ("emergency-rollback", ["checkout is down"], "checkout is down"),
        ("Rollback", [raw("json/plain", b"{oh no"), raw("binary/encrypted", b"\xff")], "{oh no; \ufffd"),
    ],
    ids=["no input", "a hyphen and a text", "another word and two inputs that cannot be read"],
)
async def test_an_emergency_that_is_sent_as_an_update_is_believed(
    world: World, name: str, values: list[Any], reason: str
) -> None:
    handle = await soaking(world)

    answer = await handle.execute_update(name, args=values, result_type=Answer)

    assert answer.happened == "taken back"
    rolled_back = await world.until(handle, RolloutStatus.ROLLED_BACK, step=world.plan.check_interval / 20)
    assert rolled_back.rollback is not None
    assert rolled_back.rollback.reason == reason
    assert await world.is_safe(rolled_back)


async def test_a_command_that_makes_no_sense_where_the_rollout_stands_is_refused_before_it_is_written_down(
    tmp_path: Path,
) -> None:
    guarded = shipped("rehearsal.yaml").model_copy(update={"guard": timedelta(hours=1)})
    commands: dict[str, Command] = {
        **dict.fromkeys(
            (CommandName.PAUSE, CommandName.RESUME, CommandName.APPROVE, CommandName.STEP_BACK, CommandName.RETRY),
            commanding.KIM,
        ),
        CommandName.PROMOTE: Promote(by="kim", reason="seen enough"),
        CommandName.EXTEND: Extend(by="kim", more=timedelta(hours=1)),
        CommandName.RESOLVE_HOLD: ResolveHold(by="kim", how="continue"),
        CommandName.SET_STAGE: FlagStage(by="kim", flag=guarded.flags[0], stage="off"),
        CommandName.REPLACE_CANDIDATE: ReplaceCandidate(
            by="kim", reason="a fix", images={"backend": "shop/backend:fix"}
        ),
    }
    async with laid_out_in_real_time(guarded, tmp_path) as world:
        handle = await soaking(world)
        said = [await commanding.refusal(handle, CommandName.FINISH)]
        await commanding.emergency(handle)
        await world.until(handle, RolloutStatus.ROLLED_BACK, step=world.plan.check_interval / 20)
        said += [await commanding.refusal(handle, update, command) for update, command in commands.items()]

        assert {*commands, CommandName.FINISH} == {name.value for name in CommandName}
        assert [sentence for sentence in said if not sentence.startswith("cannot ")] == []
        history = await handle.fetch_history()
        assert not any(
            event.HasField("workflow_execution_update_accepted_event_attributes") for event in history.events
        )
