"""`rollout gates replay`: try the judge on data of one's own."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Try how gates judge, on data of your own. Changes nothing.", no_args_is_help=True)


@app.callback()
def gates() -> None:
    """Try how gates judge, on data of your own. Changes nothing."""


@app.command("replay")
def replay(
    gate: Annotated[
        Path, typer.Option("--gate", metavar="GATE.yaml", help="The gate, with the fields it has in a plan.")
    ],
    intervals: Annotated[
        Path, typer.Argument(metavar="INTERVALS.jsonl", help="One interval per line: end, treated, control.")
    ],
) -> None:
    """Judge recorded intervals one by one and print one JSON line for each: decision, verdict, evidence, reason.

    An interval is {"end": …, "treated": {"total": n, "bad": k}, "control": {…}}; for latency a group is {"bounds_ms":
    […], "counts": […]}, for a score {"score": x, "total": n}. Intervals are a minute long, or shorter where they come
    more densely, unless the gate says `interval: 5m`. Exit code 2 names the file, the line and what is wrong.
    """
    import sys

    from starter.gate_replay import replayed

    for judgement in replayed(gate, intervals):
        sys.stdout.write(judgement.model_dump_json() + "\n")
