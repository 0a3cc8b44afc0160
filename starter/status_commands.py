"""`rollout status` and `rollout list`: look without touching."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from typing import TYPE_CHECKING, Annotated

import typer

from starter.options import Environment, Json, RolloutId, watched_by_people

if TYPE_CHECKING:
    from starter.outcome import ExitCode
    from starter.rollouts import Observation
    from starter.session import Session


def status(
    rollout: RolloutId = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and follow it until it ends.")] = False,
    emergency_check: Annotated[
        bool,
        typer.Option(
            "--emergency-check", help="Read flags and traffic back from Redis and Cloud Run: SAFE or EXPOSED."
        ),
    ] = False,
    environment: Environment = None,
    json: Json = False,
) -> None:
    """Show where a rollout stands: its stages, soak credit, gates, traffic, and what comes next.

    Changes nothing. With --watch the exit code is 0 when the rollout completed and 1 when it was rolled back; without,
    it is 0 whenever the rollout could be shown, and 1 when no worker answered for it. With --emergency-check it is 0
    when nobody is exposed, and 1 when somebody is or when that could not be read; Temporal may be down.
    """
    from starter.outcome import ExitCode
    from starter.session import in_session

    watched_by_people(watch=watch, otherwise="--emergency-check" if emergency_check else "--json" if json else None)
    if emergency_check:
        _emergency_check(environment, rollout, json=json)
        return
    code = in_session(lambda session: _status(session, rollout, watch=watch, json=json))
    if code is not ExitCode.DONE:
        raise typer.Exit(code)


def _emergency_check(environment: str | None, given: str | None, *, json: bool) -> None:
    import asyncio

    from starter.flag_store_access import HoldsNothing, StoreSilent
    from starter.outcome import ExitCode
    from starter.rollouts import name_of
    from starter.safety_check import Finding, check_safety
    from starter.terminal import say, say_json

    try:
        findings = asyncio.run(check_safety(environment, name_of(given) if given else None))
    except (HoldsNothing, StoreSilent) as nothing_known:
        # Where the traffic was before is in the store too: nobody can say that nobody is exposed.
        findings = [Finding(what="flags and traffic", state="unreadable", text=nothing_known.text)]
    states = {finding.state for finding in findings}
    verdict = "EXPOSED" if "exposed" in states else "UNKNOWN" if "unreadable" in states else "SAFE"
    if json:
        say_json({"verdict": verdict, "findings": [finding.model_dump() for finding in findings]})
    else:
        for finding in findings:
            say(f"{finding.state:<10} {finding.what}: {finding.text}")
        say(f"{verdict}: what could not be read may be exposed" if verdict == "UNKNOWN" else verdict)
    if verdict != "SAFE":
        raise typer.Exit(ExitCode.FAILED)


async def _status(session: "Session", given: str | None, *, watch: bool, json: bool) -> "ExitCode":
    from starter.outcome import ExitCode
    from starter.rollouts import newest
    from starter.terminal import output, say_json
    from starter.views import rollout_view
    from starter.watching import follow

    rollouts = session.rollouts
    workflow_id = await rollouts.chosen(given)
    observation = await rollouts.observe(workflow_id)
    link = session.link(workflow_id, observation.run_id)
    if json:
        newer = observation.model_copy(update={"progress": newest(observation)})
        say_json({**newer.model_dump(mode="json"), "ui": link, "left_behind": await _left_behind(observation)})
    elif watch:
        return await follow(rollouts, workflow_id, output(), link)
    else:
        output().print(rollout_view(observation, link, left_behind=await _left_behind(observation)))
    return ExitCode.FAILED if observation.silence else ExitCode.DONE


async def _left_behind(observation: "Observation") -> bool:
    """Of what was ended from outside, or hidden by a later start, nobody watches what it may still expose."""
    if not observation.ended_by_itself:
        return observation.is_abandoned
    from starter.orphans import is_left_behind

    return await is_left_behind(observation)


def list_rollouts(
    everything: Annotated[bool, typer.Option("--all", help="Closed rollouts too.")] = False,
    json: Json = False,
) -> None:
    """List the open rollouts of this namespace. Changes nothing."""
    from starter.session import in_session

    in_session(lambda session: _list(session, everything=everything, json=json))


async def _list(session: "Session", *, everything: bool, json: bool) -> None:
    from starter.listing import rows, table
    from starter.terminal import output, say, say_json

    found = await rows(await session.rollouts.listed(only_open=not everything))
    if json:
        say_json([row.model_dump(mode="json") for row in found])
    elif found:
        output().print(table(found))
    else:
        say("No rollout was ever started in this namespace." if everything else "No rollout is open.")
