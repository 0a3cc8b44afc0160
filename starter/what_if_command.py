"""`rollout what-if`."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from pathlib import Path
from typing import Annotated

import typer

from starter.options import Json


def what_if(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan's YAML file; - reads standard input.")],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="Recorded metrics, one JSON line per interval.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="When the rollout would have started, such as 2026-11-24T12:00Z."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Up to when data are taken.")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Keep what was fetched, to be given as --data later.")
    ] = None,
    revision: Annotated[
        list[str] | None,
        typer.Option(
            "--revisions",
            metavar="SERVICE=TREATED/CONTROL",
            help="Whose data are treated and control where a plan compares revisions; once per service.",
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Play past metrics through a plan: what would a rollout have decided, and when? Touches nothing.

    Metrics come from a file (--data) or from Cloud Monitoring (--from and --to). With --data the rollout starts with
    the file's first interval, after as much of it as the plan's baseline needs, or at --from. Judged by the code that
    judges a rollout; what cannot be played is listed. Exit code 0: it would have passed; 1: it would have gone back,
    held, or the data end before; 2: wrong input.
    """
    import asyncio

    from starter.outcome import ExitCode, refused
    from starter.plan_file import load_plan
    from starter.terminal import output, say_json, warn
    from starter.what_if import Rehearsal
    from starter.what_if_options import revisions_of, span
    from starter.what_if_queries import queries_of
    from starter.what_if_recording import first_start, known_until, of_cloud_monitoring, of_file, save_to, without_data
    from starter.what_if_view import what_if_view

    loaded = load_plan(plan)
    queries = queries_of(loaded)
    start, end = span(since, until)
    revisions = revisions_of(loaded, revision or [])
    if data is None:
        recording = of_cloud_monitoring(loaded, queries, start, end, revisions)
    elif revisions:
        raise refused("--revisions: says whom Cloud Monitoring is asked for; a file has its groups already")
    else:
        recording = of_file(data, loaded, queries)
    if save is not None:
        save_to(save, recording)
    for name in without_data(recording, queries):
        warn(f"Warning: there are no data at all of {name}; gates over it can only hold.")
    begins = start or first_start(loaded, recording)
    if end is not None and end <= begins:
        raise refused(f"--to: later than the rollout's start ({begins}), got {end}")
    found = asyncio.run(Rehearsal(loaded, known_until(recording, end), begins).play())
    if json:
        say_json(found.model_dump(mode="json"))
    else:
        output().print(what_if_view(found))
    if found.outcome != "completed":
        raise typer.Exit(ExitCode.FAILED)
