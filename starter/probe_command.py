"""`rollout probe-google`: how does the real Google behave where nothing says so?"""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starter.options import Json

if TYPE_CHECKING:
    from starter.probe_report import Report
    from starter.probe_run import Wanted

SCRATCH_IMAGE = "us-docker.pkg.dev/cloudrun/container/hello"
"""Google's own sample, public."""


def _of_form(pattern: str, allowed: str) -> Callable[[str], str]:
    def checked(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise typer.BadParameter(f"{value!r} is not {allowed}")
        return value

    return checked


def probe_google(
    project: Annotated[
        str,
        typer.Option(
            help="Id of the project.",
            callback=_of_form(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", "the id of a project"),
        ),
    ],
    region: Annotated[
        str, typer.Option(help="Such as us-central1.", callback=_of_form(r"[a-z]+(?:-[a-z]+)+\d+", "a region"))
    ],
    service: Annotated[
        str,
        typer.Option(
            help="The scratch service; it needs the label rollout-probe=scratch, or is made with --create.",
            callback=_of_form(
                r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?",
                "the name of a scratch service: at most 40 lower-case letters, digits and hyphens, a letter first",
            ),
        ),
    ],
    create: Annotated[
        bool, typer.Option("--create", help="Make the scratch service, and delete it at the end.")
    ] = False,
    image: Annotated[
        str | None,
        typer.Option(help=f"What a created service runs, instead of {SCRATCH_IMAGE}.", show_default=False),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Do not delete the service that --create made.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Only read; any service will do.")] = False,
    within: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Stop after this long, and then clean up, which takes three minutes at most.", min=1
        ),
    ] = 1200,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the findings there too, as JSON.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Find out on a scratch service how the real Google behaves where it is not documented: a profile for the sandbox.

    Shifts the traffic of that one service, asks for splits that must be refused, reads metrics; puts everything back,
    also on Ctrl-C. Says first what it does, and asks. Exit code 1 names the points that could not be settled.
    """
    import asyncio

    from config.settings import Settings
    from rollout.traffic import ServiceRef
    from starter.outcome import ExitCode
    from starter.probe_run import TOLD_TO_STOP, Wanted, look, probe, where
    from starter.terminal import output, say_json, warn

    _refuse_contradictions(create=create, image=image, keep=keep, read_only=read_only, out=out)
    settings = Settings.from_environment()
    wanted = Wanted(
        ref=ServiceRef(key=service, project=project, region=region, service=service),
        image=(image or SCRATCH_IMAGE) if create else None,
        keep=keep,
        read_only=read_only,
        within_seconds=within,
    )
    asyncio.run(look(wanted, settings))
    warn(_plan(wanted, where(settings)))
    if not (yes or read_only):
        _confirm()
    report = asyncio.run(probe(wanted, settings, warn))
    if out is not None:
        _write(out, report)
    if json:
        say_json(report.for_programs())
    else:
        from starter.probe_view import probe_view

        output().print(probe_view(report))
    if report.stopped == TOLD_TO_STOP:
        raise typer.Exit(ExitCode.LEFT)
    if not report.complete:
        raise typer.Exit(ExitCode.FAILED)


def _refuse_contradictions(*, create: bool, image: str | None, keep: bool, read_only: bool, out: Path | None) -> None:
    if create and read_only:
        raise typer.BadParameter("--create changes something, --read-only must not: leave one of them out")
    for given, option in ((keep, "--keep"), (image is not None, "--image")):
        if given and not create:
            raise typer.BadParameter(f"{option} is about the service that --create makes; there is no --create")
    if image is not None and not image.strip():
        raise typer.BadParameter("--image: the name of a container image, not nothing")
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise typer.BadParameter(f"--out: {out} is not a file in a directory that exists")


def _plan(wanted: "Wanted", google: str) -> str:
    name = wanted.ref.service
    place = f"{name} in {wanted.ref.project}, {wanted.ref.region} ({google})"
    if wanted.read_only:
        return f"Reads {place} and Cloud Run's metrics of that region. Changes nothing."
    lines = [f"Works on {place} and on no other service:"]
    if wanted.image is not None:
        lines.append(f"  creates it from {wanted.image}: one instance at most, internal ingress, nobody may invoke it")
        lines.append("  deploys up to 5 more revisions of it, without traffic")
    lines += [
        "  changes its traffic some 20 times, also while another change is under way, and with a stale etag",
        "  asks for four traffic splits that should be refused",
        "  reads Cloud Run's metrics of the region",
        f"  ends within {wanted.within_seconds:g} s, then "
        + (
            "puts its traffic back"
            if wanted.image is None
            else ("puts its traffic back and keeps the service" if wanted.keep else "deletes the service")
        ),
    ]
    return "\n".join(lines)


def _confirm() -> None:
    from starter.outcome import refused

    try:
        sure = typer.confirm("Go on?", err=True)
    except typer.Abort:
        typer.echo(err=True)
        sure = False
    if not sure:
        raise refused("Not confirmed (--yes does without): nothing was done.")


def _write(out: Path, report: "Report") -> None:
    import json
    import os

    from starter.outcome import failed

    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps(report.for_programs(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.replace(out)
    except OSError as problem:
        fresh.unlink(missing_ok=True)
        raise failed(f"--out: {out} could not be written ({problem}). {report.cleanup.text}") from problem
