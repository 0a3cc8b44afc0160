"""What a rollout that was ended from outside still has, seen from a later look at its name.

A start that its leases refuse is a run of the same name, and the newest: Temporal no longer shows the one before.
"""

from config.settings import Settings, SettingsError
from starter.flag_store_access import flag_store, stores_meant
from starter.outcome import CommandEnds, refused
from starter.rollouts import Observation, Rollouts, name_of


async def owner_of(environment: str | None, group: str) -> str | None:
    """The rollout that began with a group's flags and has not ended; None, too, where the flag store does not say."""
    try:
        async with flag_store(Settings.from_environment()) as redis:
            (store, *others) = await stores_meant(redis, environment, group)
            return None if others else (await store.read_safety()).owner
    except (CommandEnds, SettingsError):
        return None


async def is_left_behind(observation: Observation) -> bool:
    """Whether the newest run of a name came to its own end, and one before it owns the flags all the same."""
    if not observation.ended_by_itself:
        return False
    environment = observation.progress.environment if observation.progress is not None else None
    return await owner_of(environment, name_of(observation.workflow_id)) is not None


async def refuse_to_hide(rollouts: Rollouts, environment: str, group: str) -> None:
    """Where the newest run was ended from outside, one that its leases refuse would only hide it.

    Raises:
        CommandEnds: it was, and has flags or services still. Nothing was started.
    """
    last = await rollouts.last_of(group)
    if last is not None and last.is_abandoned and await owner_of(environment, group) is not None:
        raise refused(
            f"the rollout of {group} before this one was ended from outside, and still owns its flags and services. "
            "Nothing was started. `rollout doctor` tells what it exposes; "
            f"`rollout emergency-rollback {group} --reason …` takes it back, `rollout rearm {group} --reason …` then "
            "frees it"
        )
