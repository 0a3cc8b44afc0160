"""`rollout plan …`: look at a plan without starting anything."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starter.options import Json

if TYPE_CHECKING:
    from rollout.plan import RolloutPlan
    from rollout.power_card import Usual

app = typer.Typer(no_args_is_help=True, help="Check and show plans. Changes nothing, always safe.")

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan's YAML file; - reads standard input.")]


@app.command()
def validate(plan: PlanFile, json: Json = False) -> None:
    """Check a plan; every error names file, line, field, value and what is allowed. Exit code 2 if it is wrong."""
    from rollout.counting import counted
    from starter.outcome import ExitCode
    from starter.plan_file import PlanRefused, load_plan
    from starter.terminal import say, say_json

    if not json:
        loaded = load_plan(plan)
        stages = counted(len(loaded.stages), "stage")
        say(f"{plan}: {loaded.name} is a valid plan, {stages} under {counted(len(loaded.gates), 'gate')}")
        return
    try:
        load_plan(plan)
    except PlanRefused as refused:
        problems = [
            {
                "line": problem.line,
                "field": problem.field,
                "place": list(problem.place),
                "problem": problem.problem,
                "given": problem.given,
            }
            for problem in refused.problems
        ]
        say_json({"file": refused.file, "valid": False, "problems": problems})
        raise typer.Exit(ExitCode.REFUSED) from None
    say_json({"file": str(plan), "valid": True, "problems": []})


@app.command()
def show(plan: PlanFile, json: Json = False) -> None:
    """Show a plan as a person reads it: its stages, its gates and their limits, what an approval confirms."""
    from starter.plan_file import load_plan
    from starter.terminal import output, say_json
    from starter.views import plan_view

    loaded = load_plan(plan)
    if json:
        say_json(loaded.model_dump(mode="json", exclude_none=True))
        return
    output().print(plan_view(loaded))


@app.command()
def check(plan: PlanFile, json: Json = False) -> None:
    """Try every gate of a plan before it starts: on what its metrics say now, and on a breach that it must fail on.

    Asks Cloud Monitoring what a rollout would ask, whether the secrets are enabled that its checks name, and makes one
    request of each load test; changes nothing. Exit code 1 where a gate could not do its work, 2 where the plan is
    wrong or names what is not there. A metric that says nothing yet is a warning: its stage would wait for data. So is
    a soak within which a gate that goes back would not find a regression of twice its limit; `plan power` fails there.
    """
    import asyncio

    from config.settings import Settings
    from rollout.gate_trial import in_a_sentence, too_slow
    from rollout.power_card import by_stage
    from starter.findings import in_a_line
    from starter.outcome import ExitCode
    from starter.plan_check import checked
    from starter.plan_file import load_plan
    from starter.terminal import output, say, say_json
    from starter.views import gate_findings_view, power_view

    loaded = load_plan(plan)
    findings, needs = asyncio.run(checked(loaded, Settings.from_environment()))
    slow = too_slow(findings)
    if json:
        say_json(
            {
                "plan": loaded.name,
                "gates": [finding.model_dump(mode="json") for finding in findings],
                "too_slow": slow,
                "needs": [need.model_dump() for need in needs],
            }
        )
    else:
        output().print(gate_findings_view(findings))
        told = in_a_sentence(findings)
        if power := by_stage(loaded, [forecast for finding in findings for forecast in finding.forecasts]):
            say("\nHow soon a regression is found, at the traffic there is now:")
            output().print(power_view(power))
            say("")
        for sentence in slow:
            say(f"Too slow: {sentence}.")
        say(f"{told[0].upper()}{told[1:]}.")
        for need in needs:
            say(in_a_line(need))
    if any(need.level == "bad" for need in needs):
        raise typer.Exit(ExitCode.REFUSED)
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def power(
    plan: PlanFile,
    rate: Annotated[
        float, typer.Option("--rate", metavar="N", help="Requests per second, treated and control.", min=0)
    ],
    error_rate: Annotated[
        str, typer.Option("--error-rate", metavar="SHARE", help="Their usual share of errors, such as 0.5%.")
    ],
    json: Json = False,
) -> None:
    """How soon each gate would find a regression of 1, 2 and 5 times its limit, at traffic of which you say how much.

    Asks nobody: errors are taken as independent of each other, and latencies as spread as usual. `plan check` takes
    both from Cloud Monitoring. Exit code 1 where a gate that goes back would not find twice its limit within its soak.
    """
    from rollout.power_card import blind_spots, forecasts
    from starter.outcome import ExitCode
    from starter.plan_file import load_plan
    from starter.terminal import output, say, say_json
    from starter.views import power_view

    loaded = load_plan(plan)
    found = forecasts(loaded, assumed_traffic(loaded, rate, error_rate))
    slow = blind_spots(found)
    if json:
        forecast = [one.model_dump(mode="json") for one in found]
        say_json({"plan": loaded.name, "forecasts": forecast, "too_slow": slow})
    else:
        output().print(power_view(found))
        for sentence in slow:
            say(f"Too slow: {sentence}.")
    if slow:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a plan, for editors and other programs."""
    from rollout.plan import RolloutPlan
    from starter.terminal import say_json

    say_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **RolloutPlan.model_json_schema()})


def assumed_traffic(plan: "RolloutPlan", rate: float, error_rate: str) -> dict[str, "Usual"]:
    """The same for every metric of the plan."""
    from rollout.power_card import Usual
    from rollout.quantity import parse_share
    from starter.outcome import refused

    try:
        share = parse_share(error_rate)
    except ValueError as problem:
        raise refused(f"--error-rate {error_rate!r}: {problem}") from None
    if not 0 <= share < 1:
        raise refused(f"--error-rate {error_rate!r}: a share from 0% to below 100%")
    if not 0 < rate < inf:
        raise refused(f"--rate {rate:g}: requests per second, more than 0")
    return dict.fromkeys(plan.metrics, Usual(rate * plan.check_interval.total_seconds(), share))
