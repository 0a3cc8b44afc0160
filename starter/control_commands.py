"""`rollout pause|resume|approve|promote|extend|step-back|…`: asking a running rollout."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from starter.options import By, Json, RolloutId, each_named, named

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rollout.messages import Command
    from starter.rollouts import Rollouts
    from starter.session import Session

OptionalReason = Annotated[str, typer.Option("--reason", help="Why; kept in the record.")]
RequestId = Annotated[
    str | None,
    typer.Option(
        "--request-id", metavar="ID", help="The same id twice is one command, for scripts that retry.", callback=named
    ),
]


def _plain(described: "Callable[[], None]") -> "Callable[..., None]":
    """The command of that name and help; it carries nothing but who asks, and why."""

    def command(
        rollout: RolloutId = None,
        reason: OptionalReason = "",
        *,
        by: By,
        request_id: RequestId = None,
        json: Json = False,
    ) -> None:
        from rollout.messages import Command

        _send(described.__name__, rollout, Command(by=by, reason=reason), request_id, json=json)

    command.__doc__ = described.__doc__
    return command


@_plain
def pause() -> None:
    """Stop promotion and the credit clock. Gates go on being judged, and a failing gate still rolls back.

    Exposure and traffic stay as they are. Refused (exit code 2) when it is paused already or has ended.
    """


@_plain
def resume() -> None:
    """Let a paused rollout go on. The credit clock runs again where a stage soaks and nothing holds it.

    Refused (exit code 2) when it is not paused.
    """


@_plain
def approve() -> None:
    """Let the stage that waits for a person begin; this confirms the statements that `rollout status` shows.

    Refused (exit code 2) when nothing waits for an approval, so a second approval cannot approve a later stage.
    """


def promote(
    rollout: RolloutId = None,
    reason: OptionalReason = "",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="End the soak, or the wait for a window, now, whatever gates and plan say. Needs a --reason.",
        ),
    ] = False,
    *,
    by: By,
    request_id: RequestId = None,
    json: Json = False,
) -> None:
    """End the soak of now before its credit is full: with the next interval in which every gate passes.

    In a stage that raises traffic in steps this ends the step. Refused (exit code 2) while a gate holds the rollout.
    By force it also begins, now, what waits for a window of the plan.
    """
    from rollout.commands import CommandName
    from rollout.messages import Promote

    if force and not reason.strip():
        raise typer.BadParameter("it goes against the gates and needs a --reason", param_hint="--force")
    _send(CommandName.PROMOTE, rollout, Promote(by=by, reason=reason, force=force), request_id, json=json)


def extend(
    more: Annotated[str, typer.Argument(metavar="DURATION", help="How much more credit, such as 12h or 2d.")],
    rollout: RolloutId = None,
    reason: OptionalReason = "",
    *,
    by: By,
    request_id: RequestId = None,
    json: Json = False,
) -> None:
    """Ask the stage of now for more soak credit than its plan does."""
    from rollout.commands import CommandName
    from rollout.messages import Extend
    from rollout.quantity import parse_duration

    try:
        command = Extend(by=by, reason=reason, more=parse_duration(more))
    except ValueError:
        raise typer.BadParameter(
            f"{more!r}: expected a duration such as 12h or 2d, above 0 and at most 30 days", param_hint="DURATION"
        ) from None
    _send(CommandName.EXTEND, rollout, command, request_id, json=json)


@_plain
def step_back() -> None:
    """Go back by one stage: its flags, then its traffic; it soaks anew, and going up again needs an approval.

    Repeat it to go further down, to features for nobody. In a hurry: `rollout emergency-rollback`.
    """


def replace_candidate(
    image: Annotated[
        list[str],
        typer.Option("--image", metavar="SERVICE=IMAGE", help="The new image, once per service that gets another one."),
    ],
    rollout: RolloutId = None,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the record.")],
    by: By,
    request_id: RequestId = None,
    json: Json = False,
) -> None:
    """Go on with other images, for a hotfix: features off, traffic to its anchor, the first stage, then this one anew.

    What was passed in between is not repeated, every approval is asked for again, and the gates begin with evidence of
    their own. Refused (exit code 2) for images that were taken back before.
    """
    from rollout.commands import CommandName
    from rollout.messages import ReplaceCandidate
    from starter.starting import images_by_service

    command = ReplaceCandidate(by=by, reason=reason, images=images_by_service(image))
    _send(CommandName.REPLACE_CANDIDATE, rollout, command, request_id, json=json)


@_plain
def retry() -> None:
    """Look at once, instead of at the next check interval; for whoever has just mended what holds the rollout."""


class HowToResolve(StrEnum):
    CONTINUE = "continue"
    ADOPT = "adopt"
    ROLLBACK = "rollback"


def resolve_hold(
    how: Annotated[
        HowToResolve,
        typer.Argument(
            metavar="HOW",
            help="continue: without the gates that hold this stage now; adopt: what somebody else changed becomes what "
            "the rollout set; rollback: take everything back.",
        ),
    ],
    rollout: RolloutId = None,
    reason: OptionalReason = "",
    gate: Annotated[
        list[str] | None,
        typer.Option(
            "--gate",
            metavar="NAME",
            help="With continue: pass over this gate; may be repeated. Without it, those that do not pass now.",
            callback=each_named,
        ),
    ] = None,
    *,
    by: By,
    request_id: RequestId = None,
    json: Json = False,
) -> None:
    """End a hold by a person's decision. Refused (exit code 2) when nothing holds the rollout.

    Held while it is paused or waits, a rollout takes the decision and stays paused, or waits on.
    A gate that held the stage before and passes again stays in force. One that is passed over still takes the rollout
    back when it fails and its action says so. Adopted is only what exposes nobody beyond what the rollout had set.
    """
    from rollout.commands import CommandName
    from rollout.messages import ResolveHold
    from starter.hold_resolving import with_the_gates_that_hold

    if gate and how is not HowToResolve.CONTINUE:
        raise typer.BadParameter(f"goes with continue, not with {how.value}", param_hint="--gate")
    command = ResolveHold(by=by, reason=reason, how=how.value, gates=tuple(gate) if gate else None)

    async def completed(rollouts: "Rollouts", workflow_id: str) -> ResolveHold:
        return await with_the_gates_that_hold(rollouts, workflow_id, command)

    _send(CommandName.RESOLVE_HOLD, rollout, command, request_id, json=json, completed=completed)


@_plain
def finish() -> None:
    """End the watch after the last stage, or the guard after a rollback, before its time: the next one need not wait.

    Nobody judges the gates, or undoes writes that arrive late, any more. Refused (exit code 2) in every other state.
    """


def _send(
    update: str,
    given: str | None,
    command: "Command",
    request_id: str | None,
    *,
    json: bool,
    completed: "Callable[[Rollouts, str], Awaitable[Command]] | None" = None,
) -> None:
    """`completed` gives the command as it is sent, where that takes a look at the rollout first."""
    from starter.controlling import ask
    from starter.session import in_session
    from starter.terminal import say, say_json

    async def asked(session: "Session") -> None:
        workflow_id = await session.rollouts.chosen(given)
        sent = command if completed is None else await completed(session.rollouts, workflow_id)
        answer = await ask(session.rollouts, workflow_id, update, sent, request_id)
        if json:
            say_json({"workflow_id": workflow_id, **answer.model_dump(mode="json")})
            return
        say(f"{workflow_id}: {answer.happened} by {command.by}.")
        say(f"Next: {answer.next}")

    in_session(asked)
