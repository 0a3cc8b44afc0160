"""`make demo`: a faulty candidate is caught and taken back, then a good one goes to everybody, on this machine.

Everything is real but Google: the Temporal server, Redis, the worker, an application behind every revision, the
requests and WebSockets of its users, and the `rollout` commands that a release manager would type. The rollouts are the
rehearsal plan, whose five stages take seconds instead of days.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from config.settings import inherited_environment
from local.background_users import REQUESTS_PER_SECOND_AND_SERVICE, USERS_PER_SERVICE, BackgroundUsers, in_words, total
from local.checkout import CHECKOUT
from local.child_process import ChildFailed
from local.sandbox_secrets import ANSWERS_WITHIN_SECONDS
from local.sandbox_server import SAMPLE_APP
from local.simulated_users import INTERNAL_DOMAIN
from local.stack import DirectoryInUse, LocalStack
from rollout.progress import RolloutProgress, RolloutStatus
from rollout.wording import duration_in_words, stage_verdict
from starter.plan_file import load_plan

DIRECTORY = CHECKOUT / ".rollout" / "demo"
PLAN_FILE = CHECKOUT / "plans" / "rehearsal.yaml"
PLAN = load_plan(PLAN_FILE)
FAULT = {"error_rate": 0.25, "to": "treated", "spared_domain": INTERNAL_DOMAIN}
"""What the faulty backend does: every fourth request of a customer who has the features fails."""
VISIBLE_AFTER_SECONDS = 4.0
"""The first requests, and the sandbox's interval and delay until they can be read."""
BETWEEN_LOOKS_SECONDS = 0.5
GUARD_ENDS_WITHIN_SECONDS = 60.0

console = Console(highlight=False)


class Unexpected(Exception):  # noqa: N818  (named as what is the case)
    """The demonstration did not show what it promises."""


def main() -> int:
    """Run the demonstration; 0 when both rollouts ended as they should, 1 otherwise."""
    began = time.monotonic()
    try:
        with local_stack() as stack, BackgroundUsers(stack.sandbox.service_urls()) as users:
            stack.start_worker()
            show(stack, users)
        nothing_was_lost(users)
    except (Unexpected, ChildFailed, DirectoryInUse) as failure:
        console.print(f"[bold red]The demo did not work:[/] {failure}")
        return 1
    console.print(f"\nAll of it took {time.monotonic() - began:.0f} s. Nothing is left running.")
    return 0


def local_stack() -> LocalStack:
    """The rehearsal's services, each revision a process; without a worker, so that users can begin before it."""
    return LocalStack(
        DIRECTORY,
        worker=False,
        fresh=True,
        plans=[PLAN_FILE],
        app_command=SAMPLE_APP,
        started=lambda part: console.print(f"  {part}"),
    )


def show(stack: LocalStack, users: BackgroundUsers) -> None:
    say("Everything answers: Temporal, Redis, the sandbox that stands in for Google, and a worker.")
    console.print(
        f"  {USERS_PER_SERVICE} users of each of {len(PLAN.services)} services send it "
        f"{REQUESTS_PER_SECOND_AND_SERVICE:.0f} requests a second and follow events over WebSockets, until the end."
    )
    console.print(f"  Look at the Temporal UI while it runs: {stack.temporal.ui_url}")
    console.print("  Open rollout/rehearsal there and its tab “User Metadata”: where the rollout stands, and why.")

    say("1. A faulty candidate. A quarter of the requests of customers who have the new features will fail.")
    customers_meet_a_fault(stack.sandbox.url)
    console.print("  The people of the company do not meet the fault, so it passes deploy-off and internal. Watch it")
    console.print("  fail at canary, where 10 % of the users have the features.")
    until_there_is_a_baseline(users.since)
    start = ["start", "plans/rehearsal.yaml", "--watch"]
    rollout(stack, [*start, *images("shop/backend:faulty", "shop/auth:2")], wanted=1)
    taken_back = time.monotonic()
    faulty = closed(stack)
    met_by_then = total(users.tallies)
    expect(faulty, RolloutStatus.ROLLED_BACK)

    say("2. The kill switch stays set until a person says why it may be cleared.")
    rollout(stack, ["rearm", PLAN.name, "--reason", "the fault is understood"], wanted=0)

    say("3. A good candidate goes through all five stages to everybody.")
    until_there_is_a_baseline(taken_back)
    rollout(stack, [*start, *images("shop/backend:good", "shop/auth:3")], wanted=0)
    good = closed(stack)
    expect(good, RolloutStatus.COMPLETED)

    console.print()
    console.print(summary("shop/backend:faulty", faulty))
    console.print(from_breach_to_safety(faulty))
    console.print(f"{met_by_then.failed:,} of {met_by_then.served:,} requests until then failed by the fault.")
    console.print()
    console.print(summary("shop/backend:good", good))
    since = total(users.tallies)
    console.print(f"{since.failed - met_by_then.failed:,} of {since.served - met_by_then.served:,} requests failed.")


def customers_meet_a_fault(sandbox: str) -> None:
    """Have the sandbox fail what the faulty backend serves.

    Raises:
        Unexpected: it does not answer, or refuses.
    """
    try:
        httpx.put(
            f"{sandbox}/application-faults",
            json={"image": "shop/backend:faulty", **FAULT},
            timeout=ANSWERS_WITHIN_SECONDS,
        ).raise_for_status()
    except httpx.HTTPError as failure:
        raise Unexpected(f"the sandbox did not take the fault: {failure}") from failure


def until_there_is_a_baseline(ordinary_since: float) -> None:
    """Wait until all that the plan looks back on before its first change is ordinary traffic."""
    window = PLAN.baseline.window
    console.print(f"  First {duration_in_words(window)} of ordinary traffic, to have something to compare with …")
    time.sleep(max(0.0, ordinary_since + window.total_seconds() + VISIBLE_AFTER_SECONDS - time.monotonic()))


def nothing_was_lost(users: BackgroundUsers) -> None:
    """Say what the users met over both rollouts and the rollback.

    Raises:
        Unexpected: something of theirs was lost.
    """
    met = total(users.tallies)
    console.print(f"\n[bold]Over all of it:[/] {in_words(met)}")
    if met.lost or met.events_lost:
        raise Unexpected(f"users lost requests or events; the first: {met.first_loss or 'an event'}")


def say(text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


def images(backend: str, auth: str) -> list[str]:
    return ["--image", f"backend={backend}", "--image", f"auth={auth}"]


def rollout(stack: LocalStack, arguments: Sequence[str], *, wanted: int) -> None:
    """Type a command as a person would, and see that it ends as promised."""
    console.print(f"\n[dim]$[/] rollout {shlex.join(arguments)}", soft_wrap=True)
    ended = subprocess.run(  # noqa: S603  (the product's own command)
        [sys.executable, "-m", "starter", *arguments],
        cwd=CHECKOUT,
        env=inherited_environment(stack.environment),
        check=False,
    )
    if ended.returncode != wanted:
        raise Unexpected(f"`rollout {arguments[0]}` ended with code {ended.returncode}, {wanted} was promised")


def closed(stack: LocalStack) -> RolloutProgress:
    """The record of the rollout once its run is closed, after the guard time of a rollback."""
    deadline = time.monotonic() + GUARD_ENDS_WITHIN_SECONDS
    while True:
        answer: dict[str, Any] = json.loads(
            subprocess.run(  # noqa: S603  (as above)
                [sys.executable, "-m", "starter", "status", PLAN.name, "--json"],
                cwd=CHECKOUT,
                env=inherited_environment(stack.environment),
                check=True,
                capture_output=True,
            ).stdout
        )
        if answer["closed_at"] is not None:
            return RolloutProgress.model_validate(answer["progress"])
        if time.monotonic() > deadline:
            raise Unexpected(f"the rollout is still {answer['execution']}")
        time.sleep(BETWEEN_LOOKS_SECONDS)


def expect(progress: RolloutProgress, status: RolloutStatus) -> None:
    if progress.status is not status:
        raise Unexpected(f"the rollout ended as {progress.status}, {status} was promised: {progress.why}")


def summary(candidate: str, progress: RolloutProgress) -> Table:
    table = Table(title=f"{candidate}: {progress.status.replace('_', ' ')}", title_justify="left", title_style="bold")
    for heading in ("stage", "exposed to", "soak", "verdict", "gates"):
        table.add_column(heading)
    for stage in progress.stages:
        failing = [judgement.gate for judgement in stage.judgements if judgement.verdict.value == "FAIL"]
        gates = ", ".join(failing) if failing else f"{len(stage.judgements)} pass" if stage.judgements else ""
        soak = f"{duration_in_words(stage.credit)} of {duration_in_words(stage.soak)}"
        table.add_row(stage.name, stage.exposure, soak, stage_verdict(stage), gates)
    return table


def from_breach_to_safety(progress: RolloutProgress) -> str:
    """The seconds that count: from the interval that showed the breach to everything read back as safe."""
    rollback = progress.rollback
    if rollback is None or rollback.seconds is None or rollback.detected_after is None:
        raise Unexpected("the rollback has no times")
    steps = ", ".join(f"{step.name} after {step.seconds:.1f} s" for step in rollback.steps)
    return (
        f"From breach to safety: {rollback.detected_after + rollback.seconds:.1f} s "
        f"({rollback.detected_after:.1f} s to the decision, then {steps})."
    )


if __name__ == "__main__":
    sys.exit(main())
