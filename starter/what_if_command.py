"""`rollout what-if`."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from datetime import timedelta
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

    from config.settings import Settings
    from rollout.binding import baseline_queries
    from rollout.soak import align_down
    from starter.outcome import ExitCode, refused
    from starter.past_metrics import fetched, usual_delays
    from starter.plan_file import load_plan
    from starter.terminal import output, say_json, warn
    from starter.what_if import Rehearsal
    from starter.what_if_options import first_start, known_until, moment, recording_from, revisions_of, save_to
    from starter.what_if_queries import AT, queries_of
    from starter.what_if_view import what_if_view

    loaded = load_plan(plan)
    queries = queries_of(loaded)
    start, end = moment("--from", since), moment("--to", until)
    revisions = revisions_of(loaded, revision or [])
    needed = loaded.baseline.window if baseline_queries(loaded) else timedelta()
    if data is None:
        if start is None or end is None:
            raise refused("give --data FILE, or both --from and --to to ask Cloud Monitoring")
        if end <= start:
            raise refused(f"--to: later than --from ({start}), got {end}")
        before = needed + max(usual_delays(queries).values(), default=timedelta()) + loaded.check_interval
        since_then, until_then = (
            align_down(start - before, loaded.check_interval),
            align_down(end, loaded.check_interval),
        )
        settings = Settings.from_environment()
        recording = asyncio.run(
            fetched(loaded, queries, settings, since=since_then, until=until_then, revisions=revisions)
        )
    else:
        if revisions:
            raise refused("--revisions: says whom Cloud Monitoring is asked for; a file has its groups already")
        recording = recording_from(data, loaded, queries)
        recording.delays = usual_delays(queries) | recording.delays
    if save is not None:
        save_to(save, recording)
    for name in queries:
        if not recording.intervals.get(name) and not recording.intervals.get(name.partition(AT)[0]):
            warn(f"Warning: there are no data at all of {name}; gates over it can only hold.")
    begins = start or first_start(loaded, recording, needed)
    found = asyncio.run(Rehearsal(loaded, known_until(recording, end), begins).play())
    if json:
        say_json(found.model_dump(mode="json"))
    else:
        output().print(what_if_view(found))
    if found.outcome != "completed":
        raise typer.Exit(ExitCode.FAILED)
