"""`rollout emergency-rollback`, `rollout emergency-disable` and `rollout rearm`: what on-call types at 3 a.m."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from typing import TYPE_CHECKING, Annotated

import typer

from starter.options import By, Environment, Json, NeededReason, RolloutId, UpdatedBy, named

if TYPE_CHECKING:
    from starter.session import Session


def emergency_rollback(
    reason: NeededReason,
    rollout: RolloutId = None,
    direct: Annotated[
        bool,
        typer.Option("--direct", help="Do it from here, on Redis and Cloud Run themselves: Temporal may be down."),
    ] = False,
    environment: Environment = None,
    *,
    by: By,
    json: Json = False,
) -> None:
    """Take everything back now: flags off and latched, traffic to where it was before the rollout.

    Waits until all of it was read back, and says how long it took. Exit code 0 only when verified: the flags by this
    command in the flag store itself, the traffic by the rollout. Never refused by a running rollout, whatever it is
    doing, and safe to repeat.

    Where Temporal does not answer, no worker acts within ten seconds or none any longer, or the rollout's workflow was
    terminated or deleted, this command does all of it itself, at once with --direct. Where the flag store does not say
    what the traffic was before, the rollout's history in Temporal does. It prints a command for what it could not do; a
    rollout that runs sees the kill switch and settles as rolled back.
    """
    import asyncio

    from config.settings import SettingsError
    from config.temporal import TemporalMisconfigured, TemporalUnreachable
    from starter.emergency import Closed, NobodyActs
    from starter.lookup_failures import NoSuchRollout, TemporalSilent
    from starter.orphans import owner_of
    from starter.outcome import failed
    from starter.rollouts import name_of, none_runs
    from starter.session import in_session
    from starter.terminal import warn

    if not direct:
        try:
            in_session(lambda session: _take_back(session, rollout, by, reason, json=json))
        except (TemporalMisconfigured, TemporalUnreachable, TemporalSilent, NobodyActs) as failure:
            nobody = str(failure)
        except (NoSuchRollout, Closed):
            # Temporal may have lost it, or show a start that was refused after it was terminated; or somebody mistyped.
            if rollout is None or asyncio.run(owner_of(environment, name_of(rollout))) is None:
                raise
            nobody = f"{none_runs(name_of(rollout))}."
        else:
            return
        warn(f"{nobody}\nDoing it from here, on the flag store and Cloud Run themselves:")
    try:
        _break_the_glass(environment, rollout, by, reason, json=json)
    except SettingsError as unset:
        # Nothing is wrong with what was typed, and nothing was taken back.
        raise failed(f"NOT DONE: {unset}") from unset


def _break_the_glass(environment: str | None, given: str | None, by: str, reason: str, *, json: bool) -> None:
    import asyncio
    from dataclasses import asdict

    from starter.direct_rollback import WITHOUT_THE_STORE, roll_back_directly
    from starter.flag_store_access import HoldsNothing, StoreSilent
    from starter.outcome import ExitCode, failed
    from starter.rollouts import name_of
    from starter.terminal import say, say_json, warn

    group = name_of(given) if given else None
    tell = warn if json else say
    try:
        done = asyncio.run(roll_back_directly(environment, group, by=by, reason=reason, tell=tell))
    except (StoreSilent, HoldsNothing) as nothing_known:
        raise failed(f"NOT DONE: {nothing_known.text}\n{WITHOUT_THE_STORE}") from nothing_known
    if json:
        say_json({"verified": done.verified, **asdict(done)})
    elif done.verified:
        say("VERIFIED: flags off, traffic at its anchor. `rollout status --emergency-check` reads both again.")
    if not done.verified:
        warn("NOT VERIFIED: see above for what is left to do; this command is safe to repeat.")
        raise typer.Exit(ExitCode.FAILED)


async def _take_back(session: "Session", given: str | None, by: str, reason: str, *, json: bool) -> None:
    from starter.emergency import NobodyActs, take_back
    from starter.lookup_failures import NoneOpen
    from starter.rollouts import name_of
    from starter.terminal import say, say_json, warn

    try:
        workflow_id = await session.rollouts.chosen(given)
    except NoneOpen:
        raise NobodyActs("no rollout is open in Temporal") from None
    verified = await take_back(
        session.rollouts,
        workflow_id,
        by=by,
        reason=reason,
        redis_url=session.settings.redis_url,
        tell=warn if json else say,
    )
    seconds = max(verified.rolled_back_after, verified.flags_off_after)
    if json:
        say_json(
            {
                "workflow_id": workflow_id,
                "verified": True,
                "seconds": round(seconds, 3),
                "flags_off_after": round(verified.flags_off_after, 3),
                "rollback": verified.progress.rollback.model_dump(mode="json") if verified.progress.rollback else None,
            }
        )
        return
    for key, split in sorted(verified.progress.traffic.items()):
        say(f"          traffic of {key}: {split.in_words()}")
    say(f"VERIFIED after {seconds:.1f} s: flags off, traffic at its anchor.")
    name = name_of(workflow_id)
    say(f"Next: {verified.progress.next or f'`rollout status {name}`'}")


def emergency_disable(
    reason: NeededReason,
    group: Annotated[
        str | None,
        typer.Argument(
            metavar="PLAN-OR-GROUP",
            help="The flags of this plan, by its file or its name; without it, of the environment.",
            callback=named,
        ),
    ] = None,
    environment: Environment = None,
    *,
    by: UpdatedBy,
    json: Json = False,
) -> None:
    """Turn flags off now, in the flag store itself, and keep them off. Temporal may be down.

    Says how many application instances have confirmed it. A running rollout is told, and takes its traffic back too.
    Exit code 0 only when every flag was read back as off and no live instance shows it any more. Safe to repeat.
    """
    import asyncio
    from dataclasses import asdict

    from starter.emergency_disable import disable
    from starter.outcome import ExitCode
    from starter.plan_file import group_and_environment
    from starter.terminal import say, say_json, warn

    if group is not None:
        group, environment = group_and_environment(group, environment)
    outcomes = asyncio.run(disable(environment, group, by=by, reason=reason, tell=warn if json else say))
    verified = all(outcome.verified for outcome in outcomes)
    if json:
        say_json({"verified": verified, "groups": [asdict(outcome) for outcome in outcomes]})
    elif verified:
        say("VERIFIED. Next: `rollout rearm PLAN --reason …` when the cause is understood; flags stay off until then.")
    if not verified:
        warn("NOT VERIFIED: see above; this command is safe to repeat.")
        raise typer.Exit(ExitCode.FAILED)


def rearm(
    plan_or_group: Annotated[
        str,
        typer.Argument(
            metavar="PLAN-OR-GROUP", help="The plan's file, or the name of the plan (its flag group).", callback=named
        ),
    ],
    reason: NeededReason,
    environment: Environment = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Bring back the flags as they were before the emergency.")
    ] = False,
    *,
    by: By,
    json: Json = False,
) -> None:
    """Clear the kill switch of a plan's flags after a rollback, so that a new rollout may start.

    Flags stay off unless --restore is given. Works on the flag store itself, Temporal may be down. Refused (exit code
    2) while the rollout that was taken back still guards its flags, and when nothing is latched: safe to repeat.
    """
    import asyncio

    from config.settings import Settings
    from starter.rearming import rearm as clear
    from starter.terminal import say, say_json

    settings = Settings.from_environment()
    reply = asyncio.run(clear(settings, plan_or_group, environment, by=by, reason=reason, restore=restore))
    if json:
        say_json({"group": reply.group, "epoch": reply.epoch, "rev": reply.rev, "restored": restore})
        return
    say(f"{reply.group}: the kill switch is cleared by {by}; flags are {'as before' if restore else 'off'}.")
    say("Next: `rollout start PLAN …`; a candidate that was rolled back needs --again and a --reason.")
