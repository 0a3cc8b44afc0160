"""`rollout pause|resume|approve`: asking a running rollout for something."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from typing import TYPE_CHECKING, Annotated

import typer

from starter.options import By, Json, RolloutId

if TYPE_CHECKING:
    from starter.session import Session

OptionalReason = Annotated[str, typer.Option("--reason", help="Why; kept in the record.")]
RequestId = Annotated[
    str | None,
    typer.Option("--request-id", metavar="ID", help="The same id twice is one command, for scripts that retry."),
]


def pause(
    rollout: RolloutId = None,
    reason: OptionalReason = "",
    *,
    by: By,
    request_id: RequestId = None,
    json: Json = False,
) -> None:
    """Stop promotion and the credit clock. Gates go on being judged, and a failing gate still rolls back.

    Exposure and traffic stay as they are. Refused (exit code 2) when it is paused already or has ended.
    """
    _ask("pause", rollout, reason, by, request_id, json=json)


def resume(
    rollout: RolloutId = None,
    reason: OptionalReason = "",
    *,
    by: By,
    request_id: RequestId = None,
    json: Json = False,
) -> None:
    """Let a paused rollout go on: the credit clock runs again. Refused (exit code 2) when it is not paused."""
    _ask("resume", rollout, reason, by, request_id, json=json)


def approve(
    rollout: RolloutId = None,
    reason: OptionalReason = "",
    *,
    by: By,
    request_id: RequestId = None,
    json: Json = False,
) -> None:
    """Let the stage that waits for a person begin; this confirms the statements that `rollout status` shows.

    Refused (exit code 2) when nothing waits for an approval, so a second approval cannot approve a later stage.
    """
    _ask("approve", rollout, reason, by, request_id, json=json)


def _ask(command: str, given: str | None, reason: str, by: str, request_id: str | None, *, json: bool) -> None:
    from rollout.messages import Command
    from starter.controlling import ask
    from starter.session import in_session
    from starter.terminal import say, say_json

    async def asked(session: "Session") -> None:
        workflow_id = await session.rollouts.chosen(given)
        answer = await ask(session.rollouts, workflow_id, command, Command(by=by, reason=reason), request_id)
        if json:
            say_json({"workflow_id": workflow_id, **answer.model_dump(mode="json")})
            return
        say(f"{workflow_id}: {answer.happened} by {by}.")
        say(f"Next: {answer.next}")

    in_session(asked)
