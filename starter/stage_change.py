"""`rollout update-stage`: one flag by hand, through the rollout that owns it, or in the store where nobody does."""

from dataclasses import dataclass

from config.settings import Settings, SettingsError
from config.temporal import TemporalUnreachable, connect
from flagstore.replies import StoreReply
from flagstore.store import FlagStore, Stages
from rollout.flags import BASIS_POINTS, OFF, Exposure
from rollout.messages import UPDATE_SET_STAGE
from rollout.messages import FlagStage as FlagStageCommand
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
    flag: str, stage: str, *, environment: str | None, by: str, reason: str, force: bool
) -> StageChanged:
    """Set one flag: through the rollout that owns it, which lets it stand no higher than its own stage, unless forced.

    Raises:
        CommandEnds: it is refused, and why; or the store, or the rollout that owns the flag, did not answer.
    """
    async with flag_store(Settings.from_environment()) as redis:
        store = await store_of_flag(redis, environment, flag)
        owner = (await store.read_safety()).owner
        if owner is not None and not force:
            return await _through_its_rollout(store.keys.group, owner, flag, stage, by, reason)
        wanted = _exposure(flag, stage, await store.stages())
        return _said(store, await store.override({flag: wanted}, by=by, reason=reason), flag, wanted, owner)


def _exposure(flag: str, stage: str, planned: Stages) -> Exposure:
    """What a stage shows of a flag: by the plan that began last, or by the names that everybody knows."""
    if stage in planned and flag in planned[stage]:
        return planned[stage][flag]
    if stage in EXPOSURES:
        return EXPOSURES[stage]
    names = f"the plan of {flag} has {', '.join([*planned, 'off'])}" if planned else f"there are {', '.join(EXPOSURES)}"
    raise refused(f"--stage {stage}: no such stage; {names}")


async def _through_its_rollout(group: str, owner: str, flag: str, stage: str, by: str, reason: str) -> StageChanged:
    name = owner.rpartition("/")[0]
    forced = "--force writes it to the store all the same, and the rollout then holds over what it did not do"
    wanted = FlagStageCommand(by=by, reason=reason, flag=flag, stage=stage)
    try:
        rollouts = Rollouts(await connect())
        answer = await ask(rollouts, name, UPDATE_SET_STAGE, wanted, None)
    except (TemporalUnreachable, SettingsError) as failure:
        raise refused(f"{flag} is owned by {owner}, which could not be asked: {failure}. {forced}") from failure
    except NotCarriedOut:
        # What refused it in the store refuses it by force too.
        raise
    except CommandEnds as end:
        raise CommandEnds(end.code, f"{flag} is owned by {owner}. {end.text}; {forced}") from end
    return StageChanged(group, f"{flag} ({group}): {stage}, by {name_of(name)}, read back", answer.next)


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
