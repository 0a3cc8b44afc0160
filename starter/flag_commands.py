"""`rollout flags list|get|history` and `rollout update-stage`: the flag store itself. Temporal may be down."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from typing import Annotated

import typer

from starter.options import Environment, Json, UpdatedBy, named, not_empty

app = typer.Typer(
    help="Look at the feature flags in the flag store itself; Temporal may be down. Changes nothing.",
    no_args_is_help=True,
)

GroupOption = Annotated[
    str | None,
    typer.Option("--group", metavar="PLAN", help="The flags of this plan only.", show_default=False, callback=named),
]


@app.command("list")
def list_flags(environment: Environment = None, group: GroupOption = None, json: Json = False) -> None:
    """List every flag: who sees it now, since when, and which rollout owns it."""
    import asyncio

    from starter.flag_reading import all_rows
    from starter.flag_views import flags_table
    from starter.terminal import output, say_json

    found = asyncio.run(all_rows(environment, group))
    if json:
        say_json([row.model_dump(mode="json") for row in found])
    else:
        output().print(flags_table(found))


@app.command("get")
def get(
    flag: Annotated[str, typer.Argument(metavar="FLAG", help="Name of the flag.", callback=named)],
    environment: Environment = None,
    group: GroupOption = None,
    json: Json = False,
) -> None:
    """Say who sees one flag now. Exit code 2 when there is no such flag."""
    import asyncio

    from starter.flag_reading import one_row
    from starter.terminal import say, say_json

    row = asyncio.run(one_row(environment, group, flag))
    if json:
        say_json(row.model_dump(mode="json"))
        return
    say(f"{row.flag} ({row.group}, {row.environment}): {row.stage}, shown to {row.shown_to}")
    if row.latched:
        say(f"the kill switch is set: `rollout rearm {row.group} --reason …` clears it")
    owner, position = row.owner or "nobody", f"{row.epoch}.{row.rev}"
    say(f"since {row.changed_at:%Y-%m-%d %H:%M:%S} UTC; owned by {owner}; position {position}")


@app.command("history")
def history(
    environment: Environment = None,
    group: GroupOption = None,
    flag: Annotated[
        str | None,
        typer.Option("--flag", metavar="FLAG", help="Changes of this flag only.", show_default=False, callback=named),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=10_000, help="How many entries per plan.")] = 20,
    json: Json = False,
) -> None:
    """Show who changed what and why, refusals included, newest first; and whether the record is whole.

    Exit code 1 when an entry was changed, removed or put in later: the entries are chained to each other.
    """
    import asyncio

    from rollout.counting import counted
    from starter.flag_reading import histories
    from starter.flag_views import entry_for_programs, history_table
    from starter.outcome import ExitCode
    from starter.terminal import output, say, say_json, warn

    found = asyncio.run(histories(environment, group, flag, count))
    if json:
        say_json([entry_for_programs(one.group, entry) for one in found for entry in one.entries])
    for one in found:
        if not json:
            output().print(history_table(one.entries), f"{one.group}:", end=" ")
            whole = "every entry fits the one before it"
            say(
                f"{counted(one.verdict.entries, 'entry', 'entries')} kept, {whole}"
                if one.verdict.holds
                else "the record is not whole"
            )
        if not one.verdict.holds:
            warn(f"{one.group}: the record was tampered with: {one.verdict.broken}")
    if not all(one.verdict.holds for one in found):
        raise typer.Exit(ExitCode.FAILED)


def update_stage(
    flag: Annotated[str, typer.Option("--flag", metavar="FLAG", help="Name of the flag.", callback=named)],
    stage: Annotated[
        str,
        typer.Option(
            "--stage",
            metavar="STAGE",
            help="Who sees it: off, or as a stage of its plan shows it. Whatever the plan calls its stages, without a "
            "rollout internal is its audience, canary 10 % of users, staged 50 %, full everybody.",
            callback=named,
        ),
    ],
    by: UpdatedBy,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the record.", callback=not_empty)] = "by hand",
    environment: Environment = None,
    group: GroupOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write to the store even if a rollout owns the flag; it then holds.")
    ] = False,
    json: Json = False,
) -> None:
    """Set one flag by hand. Up goes one step of its plan at a time, down any step, off always.

    A flag that a running rollout owns is set by that rollout: no higher than the stage it has reached, where the flag
    then stays while the others go on. What it refuses (exit code 2, with its id) --force writes all the same. The kill
    switch is never overridden.
    """
    import asyncio
    from dataclasses import asdict

    from starter.stage_change import change_stage
    from starter.terminal import say, say_json

    where = {"environment": environment, "group": group}
    changed = asyncio.run(change_stage(flag, stage, **where, by=by, reason=reason, force=force))
    if json:
        say_json({"flag": flag, "stage": stage, **asdict(changed)})
        return
    say(f"{changed.text}; by {by}.")
    say(f"Next: {changed.next}")
