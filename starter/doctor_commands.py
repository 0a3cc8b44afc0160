"""`rollout doctor`: is everything there that a rollout needs, and does anybody own what no longer runs?"""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from typing import Annotated

import typer

from starter.options import Json


def doctor(
    release: Annotated[
        str | None,
        typer.Option(
            "--release",
            metavar="NAME",
            help="Give back what this rollout still owns, if it no longer runs and exposes nobody.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Look whether everything is there that rollouts need: the flag store, Temporal, workers, owners that still run.

    Exit code 1 when something is bad. Changes nothing without --release, which is refused (exit code 2) for a rollout
    that runs or may expose somebody.
    """
    import asyncio

    from starter.doctor import examine, give_back
    from starter.outcome import ExitCode
    from starter.terminal import say, say_json

    if release is not None:
        given = asyncio.run(give_back(release))
        if json:
            say_json({"released": given})
        else:
            say(f"{release}: given back {', '.join(given) or 'nothing'}.")
        return
    findings = asyncio.run(examine())
    if json:
        say_json([finding.model_dump() for finding in findings])
    else:
        for finding in findings:
            say(f"{finding.level:<5}{finding.what}: {finding.text}")
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
