"""`rollout plan …`: look at a plan without starting anything."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from pathlib import Path
from typing import Annotated

import typer

from starter.options import Json

app = typer.Typer(no_args_is_help=True, help="Check and show plans. Touches nothing, always safe.")

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan's YAML file; - reads standard input.")]


@app.command()
def validate(plan: PlanFile, json: Json = False) -> None:
    """Check a plan; every error names file, line, field, value and what is allowed. Exit code 2 if it is wrong."""
    from starter.outcome import ExitCode
    from starter.plan_file import PlanRefused, load_plan
    from starter.terminal import say, say_json

    if not json:
        loaded = load_plan(plan)
        say(f"{plan}: {loaded.name} is a valid plan, {len(loaded.stages)} stages under {len(loaded.gates)} gates")
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

    Asks Cloud Monitoring what a rollout would ask; changes nothing. Exit code 1 where a gate could not do its work, 2
    where the plan is wrong. A metric that says nothing yet is a warning: its stage would wait for data.
    """
    import asyncio

    from config.settings import Settings
    from rollout.gate_trial import in_a_sentence
    from starter.outcome import ExitCode
    from starter.plan_check import checked
    from starter.plan_file import load_plan
    from starter.terminal import output, say, say_json
    from starter.views import gate_findings_view

    loaded = load_plan(plan)
    findings = asyncio.run(checked(loaded, Settings.from_environment()))
    if json:
        say_json({"plan": loaded.name, "gates": [finding.model_dump(mode="json") for finding in findings]})
    else:
        output().print(gate_findings_view(findings))
        told = in_a_sentence(findings)
        say(f"{told[0].upper()}{told[1:]}.")
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a plan, for editors and other programs."""
    from rollout.plan import RolloutPlan
    from starter.terminal import say_json

    say_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **RolloutPlan.model_json_schema()})
