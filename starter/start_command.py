"""`rollout start`."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starter.options import By, Json, watched_by_people

if TYPE_CHECKING:
    from rollout.messages import RolloutRequest
    from starter.outcome import ExitCode
    from starter.rollouts import Observation
    from starter.session import Session


def start(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan's YAML file; - reads standard input.")],
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image", metavar="SERVICE=IMAGE", help="What to roll out, once per service that has none in the plan."
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and follow it until it ends.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Try a candidate that was rolled back before; needs --reason.")
    ] = False,
    supersede: Annotated[
        bool,
        typer.Option(
            "--supersede",
            help="End the rollout of this plan that is open first: taken back, unless all its stages have passed; "
            "needs --reason.",
        ),
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the record.")] = "",
    *,
    by: By,
    json: Json = False,
) -> None:
    """Start the rollout that a plan describes.

    Everything is checked first: a wrong plan or image starts nothing (exit code 2). Safe to repeat: while a rollout of
    the plan is open, another start is refused and changes nothing, unless --supersede ends that one first: it is taken
    back, or, where all its stages have passed, only its watch ends. A watch that holds needs a decision before that
    (`rollout resolve-hold`, exit code 2). With --watch the exit code is 0 when it completed and 1 when it was rolled
    back; leaving with Ctrl-C leaves it running.
    """
    from rollout.messages import RolloutRequest
    from starter.outcome import ExitCode, refused
    from starter.plan_file import load_plan
    from starter.session import in_session
    from starter.starting import images_of

    watched_by_people(watch=watch, otherwise="--json" if json else None)
    reason = reason.strip()
    if again and not reason:
        raise refused("--again: say in --reason why a candidate that was rolled back may be tried once more")
    if supersede and not reason:
        raise refused("--supersede: say in --reason why the rollout that is open ends")
    loaded = load_plan(plan)
    images = images_of(loaded, image or [])
    request = RolloutRequest(plan=loaded, images=images, by=by, reason=reason, again=reason if again else None)
    code = in_session(lambda session: _start(session, request, supersede=supersede, watch=watch, json=json))
    if code is not ExitCode.DONE:
        raise typer.Exit(code)


async def _start(
    session: "Session", request: "RolloutRequest", *, supersede: bool, watch: bool, json: bool
) -> "ExitCode":
    from starter.orphans import refuse_to_hide
    from starter.outcome import ExitCode
    from starter.starting import check_intervals, first_word, knows_search_attributes, start
    from starter.superseding import supersede as make_room
    from starter.terminal import output, warn
    from starter.watching import follow

    plan, rollouts = request.plan, session.rollouts
    check_intervals(plan, on_a_sandbox=session.settings.on_a_sandbox)
    if supersede:
        await make_room(session.settings, rollouts, request, tell=warn)
    await refuse_to_hide(rollouts, plan.environment, plan.name)
    known = await knows_search_attributes(rollouts.client)
    if not known:
        warn("This namespace does not have the rollout's search attributes; it runs without them.")
    run_id = await start(rollouts, request.model_copy(update={"search_attributes": known}))
    link = session.link(plan.workflow_id, run_id)
    observation = await first_word(rollouts, plan.workflow_id)
    code = told(observation, link, json=json)
    if watch and code is ExitCode.DONE:
        return await follow(rollouts, plan.workflow_id, output(), link, until_passed=True)
    return code


def told(observation: "Observation", link: str | None, *, json: bool) -> "ExitCode":
    """What happened and what comes next; REFUSED when the rollout itself refused to go ahead."""
    from rollout.progress import RolloutStatus
    from starter.outcome import ExitCode
    from starter.terminal import say, say_json, warn

    progress = observation.progress
    refused_itself = progress is not None and progress.status is RolloutStatus.REFUSED
    code = ExitCode.REFUSED if refused_itself else ExitCode.DONE
    if json:
        say_json(
            {
                "workflow_id": observation.workflow_id,
                "run_id": observation.run_id,
                "status": progress.status if progress else None,
                "why": progress.why if progress else observation.silence,
                "next": progress.next if progress else "",
                "ui": link,
            }
        )
        return code
    if progress is None:
        say(f"{observation.workflow_id} is started and recorded.")
        warn(f"It has not said anything yet: {observation.silence}")
    elif progress.status is RolloutStatus.STARTING:
        say(f"{observation.workflow_id} is started and recorded; it still tries its gates, and may yet be refused.")
        say(f"Next: `rollout status {progress.plan}` says whether it goes ahead")
    elif refused_itself:
        warn(f"{observation.workflow_id} was refused, nothing was changed: {progress.why}")
    else:
        say(f"{observation.workflow_id} started by {progress.started_by}: {progress.why}")
        say(f"Next: {progress.next}")
        # What the trial of the gates found of a plan that starts all the same.
        for found in (event.text for event in progress.timeline if event.kind == "gate"):
            warn(f"Warning: {found}")
    if link is not None:
        say(f"In the Temporal UI: {link}")
    return code
