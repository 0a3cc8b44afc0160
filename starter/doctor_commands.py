"""`rollout doctor`: is everything there that a rollout needs, and does anybody own what no longer runs?"""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from pathlib import Path
from typing import Annotated

import typer

from starter.options import Json, named


def doctor(
    release: Annotated[
        str | None,
        typer.Option(
            "--release",
            metavar="NAME",
            help="Give back what this rollout still owns, if it no longer runs and exposes nobody.",
            callback=named,
            show_default=False,
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="PLAN", help="Look after the secrets and load tests of this plan's checks too."),
    ] = None,
    json: Json = False,
) -> None:
    """Look whether everything is there that rollouts need: the flag store, Temporal, workers, owners that still run.

    Exit code 1 when something is bad, 2 when a plan names what is not there. Changes nothing without --release, which
    is refused (exit code 2) for a rollout that runs or may expose somebody.
    """
    import asyncio

    from config.settings import Settings
    from starter.doctor import examine, give_back
    from starter.findings import in_a_line
    from starter.outcome import ExitCode
    from starter.plan_check import needed
    from starter.plan_file import load_plan
    from starter.terminal import say, say_json

    if release is not None:
        given = asyncio.run(give_back(release))
        if json:
            say_json({"released": given})
        else:
            say(f"{release}: given back {', '.join(given) or 'nothing'}.")
        return
    needs = [] if plan is None else asyncio.run(needed(load_plan(plan), Settings.from_environment()))
    findings = [*asyncio.run(examine()), *needs]
    if json:
        say_json([finding.model_dump() for finding in findings])
    else:
        for finding in findings:
            say(in_a_line(finding))
    if any(need.level == "bad" for need in needs):
        raise typer.Exit(ExitCode.REFUSED)
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
