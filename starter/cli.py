"""The `rollout` command: one place that names every command; what they do is in the modules beside this one."""

from typing import Annotated

import typer

from starter import (
    control_commands,
    doctor_commands,
    emergency_commands,
    flag_commands,
    gate_commands,
    load_commands,
    local_commands,
    plan_commands,
    probe_command,
    start_command,
    status_commands,
    what_if_command,
)
from starter.argument_errors import CommandGroup

HELP = (
    "Roll new code out on Google Cloud Run, stage by stage, under gates, with one way back that is always open.\n\n"
    "Where things are comes from the environment: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY (or a "
    "Temporal profile), and ROLLOUT_REDIS_URL for the flags. `rollout local` starts all of it on this machine.\n\n"
    "Exit codes: 0 done; 1 the rollout ended badly, something was not verified, or an outside system failed; 2 bad "
    "input or a refused command, and nothing was changed."
)

app = typer.Typer(
    name="rollout",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415  (not for `--help`)

        typer.echo(version("cloud-run-rollout"))
        raise typer.Exit


@app.callback(help=HELP)
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before the name of a command."""


app.add_typer(plan_commands.app, name="plan", rich_help_panel="Look")
app.add_typer(flag_commands.app, name="flags", rich_help_panel="Look")
app.add_typer(gate_commands.app, name="gates", rich_help_panel="Look")
app.command("what-if", rich_help_panel="Look")(what_if_command.what_if)
app.command("start", rich_help_panel="Roll out")(start_command.start)
app.command("status", rich_help_panel="Look")(status_commands.status)
app.command("list", rich_help_panel="Look")(status_commands.list_rollouts)
app.command("probe-google", rich_help_panel="Look")(probe_command.probe_google)
app.command("doctor", rich_help_panel="Look")(doctor_commands.doctor)
app.command("pause", rich_help_panel="Decide")(control_commands.pause)
app.command("resume", rich_help_panel="Decide")(control_commands.resume)
app.command("approve", rich_help_panel="Decide")(control_commands.approve)
app.command("promote", rich_help_panel="Decide")(control_commands.promote)
app.command("extend", rich_help_panel="Decide")(control_commands.extend)
app.command("step-back", rich_help_panel="Decide")(control_commands.step_back)
app.command("replace-candidate", rich_help_panel="Decide")(control_commands.replace_candidate)
app.command("retry", rich_help_panel="Decide")(control_commands.retry)
app.command("resolve-hold", rich_help_panel="Decide")(control_commands.resolve_hold)
app.command("finish", rich_help_panel="Decide")(control_commands.finish)
app.command("update-stage", rich_help_panel="Decide")(flag_commands.update_stage)
app.command("emergency-rollback", rich_help_panel="Decide")(emergency_commands.emergency_rollback)
app.command("emergency-disable", rich_help_panel="Decide")(emergency_commands.emergency_disable)
app.command("rearm", rich_help_panel="Decide")(emergency_commands.rearm)
app.command("load-test", rich_help_panel="Run")(load_commands.load_test)
app.command("worker", rich_help_panel="Run")(local_commands.worker)
app.command("local", rich_help_panel="Run")(local_commands.local)
app.command(
    "sandbox",
    rich_help_panel="Run",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(local_commands.sandbox)
