"""What is true after a run, read from the store, the cloud, the server's history and the worker's log themselves."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from chaos.asking import Acknowledged
from config.data_converter import DATA_CONVERTER
from config.settings import Settings
from flagstore.store import FlagStore, connect
from rollout.flags import BASIS_POINTS
from rollout.messages import SIGNAL_EMERGENCY, Notice
from rollout.plan import RolloutPlan
from rollout.traffic import WHOLE, ServiceRef, TrafficSplit
from starter.cloud_run_access import cloud_run

_KEY = re.compile(r"\[([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\]")


async def traffic_of(plan: RolloutPlan, settings: Settings) -> dict[str, TrafficSplit]:
    """What every service of the plan serves as observed, by its key."""
    async with cloud_run(settings) as services:
        return {
            key: await services.read_traffic(
                ServiceRef(key=key, project=service.project, region=service.region, service=service.service)
            )
            for key, service in plan.services.items()
        }


async def wrong_with_flags(plan: RolloutPlan, settings: Settings, *, rolled_back: bool) -> list[str]:
    """Latched with every flag off after a rollback; open to everybody, not latched, after a completed rollout."""
    client = connect(settings.needed_redis_url)
    try:
        snapshot = await FlagStore(client, plan.environment, plan.name).read()
    finally:
        await client.aclose()
    if snapshot is None:
        return ["the flag store holds nothing"]
    if rolled_back:
        return [] if snapshot.is_latched_off else [f"flags are not latched off: {snapshot}"]
    full = not snapshot.latch and all(flag.bp == BASIS_POINTS for flag in snapshot.flags.values())
    return [] if full else [f"flags are not open to everybody: {snapshot}"]


def wrong_with_traffic(
    before: dict[str, TrafficSplit], after: dict[str, TrafficSplit], *, rolled_back: bool
) -> list[str]:
    """As before after a rollback; all of it on another revision after a completed rollout."""
    if rolled_back:
        moved = [key for key in before if after[key].shares != before[key].shares]
        return [f"traffic of {key} is {after[key].in_words()}, it was {before[key].in_words()}" for key in moved]
    stayed = [
        key
        for key in before
        if WHOLE not in after[key].shares.values() or after[key].shares.keys() & before[key].shares.keys()
    ]
    return [f"traffic of {key} is {after[key].in_words()}, not all on the candidate" for key in stayed]


def lost_commands(history: WorkflowHistory, acknowledged: Acknowledged) -> list[str]:
    """Every acknowledged Update is in the history exactly once, an acknowledged emergency at least once."""
    taken = Counter(
        event.workflow_execution_update_accepted_event_attributes.accepted_request.meta.update_id
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    )
    problems = [f"`{one}` is {taken[one]} times in the history" for one in acknowledged.updates if taken[one] != 1]
    signalled = any(
        event.workflow_execution_signaled_event_attributes.signal_name == SIGNAL_EMERGENCY for event in history.events
    )
    return [*problems, *(["the emergency is not in the history"] if acknowledged.emergency and not signalled else [])]


async def notices_of(history: WorkflowHistory) -> list[Notice]:
    """What the rollout decided to tell, in its order."""
    notices = []
    for event in history.events:
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_type.name == "notify":
            (notice,) = await DATA_CONVERTER.decode(scheduled.input.payloads, [Notice])
            notices.append(notice)
    return notices


def wrong_with_notices(notices: Sequence[Notice], log: Path, *, interruptions: int) -> list[str]:
    """Every notice reached the log under its own key; again only where a crash hid the first time from the server.

    A receiver that knows keys shows each once: a second key for the same end would be a second message.
    """
    delivered = Counter(_KEY.findall(log.read_text(errors="replace")))
    keys = Counter(notice.key for notice in notices)
    titles = Counter(notice.title for notice in notices)
    twice = titles[notices[-1].title] if notices else 0
    return [
        *(f"notice {key} was decided {count} times" for key, count in keys.items() if count > 1),
        *(f"notice {key} never arrived" for key in keys if not delivered[key]),
        *(f"notice {key} was never decided" for key in delivered if key not in keys),
        *(f"notice {key} arrived {n} times" for key, n in delivered.items() if n > 1 + interruptions),
        *([] if twice <= 1 else [f"the end was told {twice} times: {notices[-1].title}"]),
        *([] if notices else ["nobody was told anything"]),
    ]
