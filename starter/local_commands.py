"""`rollout worker`, `rollout local` and `rollout sandbox`: the programs that keep running."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from pathlib import Path
from typing import Annotated

import typer


def worker() -> None:
    """Run a worker: it carries rollouts out. Stop it with Ctrl-C or SIGTERM; another one goes on where it was.

    Takes Temporal's address from TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY or a profile, the flag store's
    from ROLLOUT_REDIS_URL. Any number may run beside each other.
    """
    _run_module("worker", [])


def local(
    directory: Annotated[Path, typer.Option("--dir", help="Where data, logs and local.env are kept.")] = Path(
        ".rollout"
    ),
    with_worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Start a worker too.")] = True,
    plan: Annotated[
        list[Path] | None,
        typer.Option(
            "--plan",
            metavar="PLAN",
            help="Whose services and secrets the sandbox has, and whose flags their users follow; the rehearsal's by "
            "default.",
        ),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            metavar="PROJECT/NAME=VALUE",
            help="A secret for Secret Manager; those that a plan checks are there with made-up values.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin with empty data instead of what is kept.")] = False,
    synthetic: Annotated[
        bool,
        typer.Option(
            "--synthetic",
            help="Make the measurements of users up, without any process or request: for plans whose services the "
            "sample application cannot stand in for, and for small machines.",
        ),
    ] = False,
) -> None:
    """Run everything a rollout needs on this machine: Temporal with its Web UI, Redis, the sandbox and a worker.

    Every revision is a process of the sample application, and simulated users ask it all the time; at the end it says
    what they met. `rollout sandbox fault` makes an image fail.

    All of it listens on 127.0.0.1 on free ports, which are written to local.env for other terminals to source. Stays
    until Ctrl-C and leaves nothing running.
    """
    from local.child_process import ChildFailed
    from local.sandbox_secrets import read_secret
    from local.session import run_until_told_to_stop
    from local.stack import DirectoryInUse
    from starter.outcome import failed, refused

    try:
        secrets = [read_secret(text) for text in secret or ()]
    except ValueError as problem:
        raise refused(f"--secret: {problem}") from None
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        expected = "expected is a directory that can be written to"
        raise refused(f"--dir {directory}: {problem.strerror}; {expected}") from problem
    try:
        run_until_told_to_stop(
            directory, worker=with_worker, plans=plan or None, fresh=fresh, synthetic=synthetic, secrets=secrets
        )
    except DirectoryInUse as taken:
        raise refused(f"--dir {taken}") from taken
    except ChildFailed as broken:
        raise failed(str(broken)) from broken


def sandbox(context: typer.Context) -> None:
    """Run the sandbox alone: Google's APIs on loopback. Takes the options of `python -m sandbox`; try -- --help.

    `rollout sandbox fault` makes a running one fail: `--method UpdateService --code UNAVAILABLE --count 2` (with
    `--after-commit` the answer is lost), `--reconcile-seconds 20`, `--metrics outage`, `--fails-to-start IMAGE`, or
    `IMAGE NAME=VALUE …` for its applications. Alone it says what fails; `--clear` ends it.
    """
    if context.args[:1] == ["fault"]:
        from starter.sandbox_commands import fault

        typer.echo(fault(context.args[1:]))
        return
    _run_module("sandbox", context.args)


def _run_module(name: str, arguments: list[str]) -> None:
    import runpy
    import sys

    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)
