"""`rollout update-stage`: one flag by hand, through the rollout that owns it, or in the store where nobody does."""

from dataclasses import dataclass

from config.settings import Settings, SettingsError
from config.temporal import TemporalUnreachable, connect
from flagstore.replies import StoreReply
from flagstore.store import FlagStore, Stages
from rollout.commands import CommandName
from rollout.flags import BASIS_POINTS, OFF, Exposure
from rollout.messages import FlagStage as FlagStageCommand
from rollout.progress import RolloutStatus
from starter.controlling import NotCarriedOut, ask
from starter.flag_store_access import flag_store, store_of_flag
from starter.outcome import CommandEnds, ExitCode, refused
from starter.rollouts import Rollouts, name_of

EXPOSURES = {
    "off": OFF,
    "internal": Exposure(exposure="audience", bp=0, stage="internal"),
    "canary": Exposure(exposure="percent", bp=BASIS_POINTS // 10, stage="canary"),
    "staged": Exposure(exposure="percent", bp=BASIS_POINTS // 2, stage="staged"),
    "full": Exposure(exposure="percent", bp=BASIS_POINTS, stage="full"),
}
"""The stages by the names that everybody knows, with the shares of the standard plan."""


@dataclass(frozen=True)
class StageChanged:
    group: str
    text: str
    next: str


async def change_stage(
    flag: str, stage: str, *, environment: str | None, group: str | None, by: str, reason: str, force: bool
) -> StageChanged:
    """Set one flag: through the rollout that owns it, which lets it stand no higher than its own stage, unless forced.

    Raises:
        CommandEnds: it is refused, and why; or the store, or the rollout that owns the flag, did not answer.
    """
    async with flag_store(Settings.from_environment()) as redis:
        store = await store_of_flag(redis, environment, flag, group)
        owner = (await store.read_safety()).owner
        if owner is not None and not force:
            return await _through_its_rollout(store, owner, flag, stage, by, reason)
        wanted = _exposure(flag, stage, await store.stages())
        return _said(store, await store.override({flag: wanted}, by=by, reason=reason), flag, wanted, owner)


def _shown_at(flag: str, stage: str, planned: Stages) -> Exposure | None:
    """What a stage shows of a flag: by the plan that began last, or by the names that everybody knows."""
    return planned[stage][flag] if flag in planned.get(stage, {}) else EXPOSURES.get(stage)


def _exposure(flag: str, stage: str, planned: Stages) -> Exposure:
    found = _shown_at(flag, stage, planned)
    if found is None:
        names = [*planned, "off"] if planned else EXPOSURES
        there_are = f"the plan of {flag} has" if planned else "there are"
        raise refused(f"--stage {stage}: no such stage; {there_are} {', '.join(names)}")
    return found


async def _through_its_rollout(
    store: FlagStore, owner: str, flag: str, stage: str, by: str, reason: str
) -> StageChanged:
    name = owner.rpartition("/")[0]
    wanted = FlagStageCommand(by=by, reason=reason, flag=flag, stage=stage)
    try:
        rollouts = Rollouts(await connect())
        answer = await ask(rollouts, name, CommandName.SET_STAGE, wanted, None)
    except (TemporalUnreachable, SettingsError) as failure:
        by_force = await _by_force(store, flag, stage)
        raise refused(f"{flag} is owned by {owner}, which could not be asked: {failure}{by_force}") from failure
    except NotCarriedOut:
        # What refused it in the store refuses it by force too.
        raise
    except CommandEnds as end:
        by_force = "" if await _goes_back(rollouts, name) else await _by_force(store, flag, stage)
        raise CommandEnds(end.code, f"{flag} is owned by {owner}. {end.text}{by_force}") from end
    return StageChanged(
        store.keys.group, f"{flag} ({store.keys.group}): {stage}, by {name_of(name)}, read back", answer.next
    )


async def _goes_back(rollouts: Rollouts, workflow_id: str) -> bool:
    """Whether a rollback is under way, which sets the kill switch as soon as it can."""
    try:
        progress = (await rollouts.observe(workflow_id)).progress
    except CommandEnds:
        return False
    return progress is not None and progress.status is RolloutStatus.ROLLING_BACK


async def _by_force(store: FlagStore, flag: str, stage: str) -> str:
    """What else there is to do about what its rollout did not do: nothing, where the store would refuse it too."""
    snapshot, planned = await store.read(), await store.stages()
    wanted, group = _shown_at(flag, stage, planned), store.keys.group
    stands = None if snapshot is None else snapshot.flags.get(flag)
    if snapshot is None or stands is None or wanted is None or wanted.shows_the_same(stands):
        return ""
    if snapshot.latch:
        return f"; the kill switch of {group} is set, and --force does not override it"
    rungs = sorted(shown[flag].order for shown in planned.values() if flag in shown)
    if wanted.order > next((rung for rung in rungs if rung > stands.order), wanted.order):
        return f"; --force does not skip a stage either, and {flag} is at {stands.in_words()}"
    return "; --force writes it to the store all the same, and the rollout then holds over what it did not do"


def _sees(reply: StoreReply) -> str:
    """What its rollout makes of a change that is not its own: every flag off is a rollback by hand."""
    shown = reply.snapshot.flags.values() if reply.snapshot is not None else ()
    if all(exposure.exposure == "off" for exposure in shown):
        return "sees that every flag is off now, and takes the traffic back too where it had any on"
    return "sees that somebody else changed its flag, and holds"


def _said(store: FlagStore, reply: StoreReply, flag: str, wanted: Exposure, owner: str | None) -> StageChanged:
    group = store.keys.group
    if not reply.accepted:
        raise refused(f"{reply.sentence}. Nothing was changed")
    held = reply.snapshot.flags.get(flag) if reply.snapshot is not None else None
    if held is None or not held.shows_the_same(wanted):
        raise CommandEnds(ExitCode.FAILED, f"NOT VERIFIED: {flag} reads back as {held.in_words() if held else 'gone'}")
    following = f"`rollout flags get {flag}` shows it" if owner is None else f"{owner} {_sees(reply)}: `rollout status`"
    return StageChanged(group, f"{flag} ({group}): {wanted.stage}, written to the store and read back", following)
