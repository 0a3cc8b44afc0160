"""`rollout local`: a local stack for a person, from the first line it prints until Ctrl-C."""

import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from local.background_users import REQUESTS_PER_SECOND_AND_SERVICE, BackgroundUsers, in_words, total
from local.sandbox_server import SAMPLE_APP
from local.stack import PLANS, LocalStack
from sandbox.options import InstalledSecret
from starter.plan_file import load_plan

LOOK_AFTER_PARTS_SECONDS = 1.0


def run_until_told_to_stop(
    directory: Path,
    *,
    worker: bool,
    plans: Sequence[Path] | None,
    fresh: bool,
    synthetic: bool,
    secrets: Sequence[InstalledSecret],
) -> None:
    """Start everything, say what can be done with it, and stay until SIGINT or SIGTERM.

    Revisions are processes of the sample application, and simulated users ask them all the time; with `synthetic` there
    are no processes and no requests, and the sandbox makes measurements of users up.

    Raises:
        DirectoryInUse: another local stack has this directory.
        ChildFailed: a part did not start.
        PlanRefused: a plan is wrong.
    """
    stop = threading.Event()
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, lambda *_: stop.set())
    chosen = plans or PLANS
    application = None if synthetic else SAMPLE_APP
    with LocalStack(
        directory,
        worker=worker,
        plans=chosen,
        fresh=fresh,
        app_command=application,
        secrets=secrets,
        started=_say,
    ) as stack:
        with BackgroundUsers([] if synthetic else stack.sandbox.service_urls()) as users:
            _say(_what_now(stack, chosen[0], synthetic=synthetic))
            told_of: set[int] = set()
            while not stop.wait(LOOK_AFTER_PARTS_SECONDS):
                _tell_of_ended(stack, told_of)
        if not synthetic:
            _say(in_words(total(users.tallies)))
        _say("Stopping everything …")
    _say("Nothing is left running.")


def _tell_of_ended(stack: LocalStack, told_of: set[int]) -> None:
    for name, part in stack.parts().items():
        if part.exit_code is not None and part.pid not in told_of:
            told_of.add(part.pid)
            again = " `rollout worker` starts another one." if name == "worker" else ""
            _say(f"The {name} (process {part.pid}) ended with code {part.exit_code}.{again}")


def _what_now(stack: LocalStack, plan: Path, *, synthetic: bool) -> str:
    images = " ".join(f"--image {key}=example/{key}:2" for key in load_plan(plan).services)
    shown = plan.relative_to(Path.cwd()) if plan.is_relative_to(Path.cwd()) else plan
    users = (
        ["Measurements of users are made up, no request is sent."]
        if synthetic
        else [
            f"Users send each service {REQUESTS_PER_SECOND_AND_SERVICE:.0f} requests a second and follow its events.",
            "A rollout compares with what was before it: give them a quarter of a minute first.",
        ]
    )
    lines = [
        "",
        *users,
        "",
        "Everything answers. In another terminal:",
        "",
        *_activating(),
        f"  source {stack.environment_file}",
        *(() if stack.worker is not None else ("  rollout worker &",)),
        f"  rollout start {shown} {images} --watch",
        "",
        f"Temporal's Web UI: {stack.temporal.ui_url}",
        (
            "Ctrl-C stops everything and leaves nothing running; data and logs stay in "
            f"{stack.directory} (--fresh begins anew)."
        ),
    ]
    return "\n".join(lines)


def _activating() -> list[str]:
    """What makes another terminal find the `rollout` command, where this one has it from a virtual environment."""
    if sys.prefix == sys.base_prefix:
        return []
    prefix = Path(sys.prefix)
    shown = prefix.relative_to(Path.cwd()) if prefix.is_relative_to(Path.cwd()) else prefix
    return [f"  source {shown}/bin/activate"]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
