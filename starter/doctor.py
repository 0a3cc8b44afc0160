"""`rollout doctor`: is everything there that a rollout needs, and does anybody own what no longer runs?"""

from datetime import timedelta

from redis.asyncio import Redis
from redis.exceptions import ResponseError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from config.settings import Settings, SettingsError
from config.temporal import TemporalUnreachable, connect
from flagstore.environment import groups_of
from flagstore.ownership import owned, release
from flagstore.store import DamagedStore, FlagStore
from rollout.counting import counted
from rollout.messages import EMERGENCY_TASK_QUEUE, TASK_QUEUE
from starter.findings import Finding, Level
from starter.flag_store_access import environments, flag_store
from starter.outcome import CommandEnds, failed, refused
from starter.rollouts import lacks_the_namespace, name_of, workflow_id_of
from starter.safety_check import check_safety
from starter.starting import knows_search_attributes

ANSWERS_WITHIN = timedelta(seconds=5)
OLDEST_REDIS = (6, 2)
WANTED_OF_REDIS = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


async def examine() -> list[Finding]:
    """Every finding, the flag store's first. Never raises for what it examines."""
    settings = Settings.from_environment()
    findings: list[Finding] = []
    client = await _temporal(findings)
    try:
        async with flag_store(settings) as redis:
            findings += await _store(redis)
            findings += await _groups(redis)
            findings += await _owners(redis, client)
    except (CommandEnds, SettingsError) as end:
        findings.append(Finding(level="bad", what="flag store", text=str(end)))
    if client is not None:
        findings += [await _workers(client, queue) for queue in (TASK_QUEUE, EMERGENCY_TASK_QUEUE)]
    return findings


async def give_back(name: str) -> list[str]:
    """Release what a rollout still owns that no longer runs and exposes nobody; returns what that was.

    Raises:
        CommandEnds: it runs, it may expose somebody, it owns nothing, or something did not answer.
    """
    settings = Settings.from_environment()
    client = await connect()
    async with flag_store(settings) as redis:
        owners = await _owners_of(redis)
        mine = sorted(owner for owner in owners if _workflow_of(owner) == workflow_id_of(name))
        if not mine:
            raise refused(f"{name} owns nothing; `rollout doctor` lists what is owned")
        for owner in mine:
            try:
                runs = await _runs(client, owner)
            except RPCError as failure:
                raise failed(f"{name}: Temporal did not say whether it runs: {failure.message}") from failure
            if runs:
                raise refused(f"{name} is running: it gives back what it owns when it ends")
        for store in (store for owner in mine for store in owners[owner]):
            if exposed := await _exposed(store):
                raise refused(
                    f"{name} may still expose somebody, {'; '.join(exposed)}: "
                    f"`rollout emergency-rollback {name} --reason …` takes it back first, and "
                    f"`rollout rearm {name} --reason …` then gives back what it owns"
                )
        return [what for owner in mine for what in await release(redis, owner)]


async def _temporal(findings: list[Finding]) -> Client | None:
    try:
        client = await connect()
    except (TemporalUnreachable, SettingsError) as failure:
        findings.append(Finding(level="bad", what="Temporal", text=str(failure)))
        return None
    known = await knows_search_attributes(client)
    findings.append(
        Finding(level="ok", what="Temporal", text=f"answers, namespace {client.namespace}")
        if known
        else Finding(
            level="warn",
            what="Temporal",
            text="answers, but does not know our search attributes: rollouts run, and cannot be filtered by stage",
        )
    )
    return client


async def _workers(client: Client, queue: str) -> Finding:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    try:
        answer = await client.workflow_service.describe_task_queue(request, timeout=ANSWERS_WITHIN)
    except RPCError as failure:
        level: Level = "bad" if lacks_the_namespace(failure) else "warn"
        return Finding(level=level, what=f"workers of {queue}", text=f"Temporal did not say: {failure.message}")
    count = len({poller.identity for poller in answer.pollers})
    if count == 0:
        return Finding(level="bad", what=f"workers of {queue}", text="none polls: `rollout worker` starts one")
    text = f"{count} poll" if count > 1 else "one polls; a second one would keep rollouts moving while it restarts"
    return Finding(level="ok", what=f"workers of {queue}", text=text)


async def _store(redis: Redis) -> list[Finding]:
    server = await redis.info("server")
    major, minor, *_ = str(server["redis_version"]).split(".")
    if (int(major), int(minor)) < OLDEST_REDIS:
        text = f"version {major}.{minor}; at least {'.'.join(map(str, OLDEST_REDIS))} is needed"
        return [Finding(level="bad", what="flag store", text=text)]
    try:
        held = await redis.config_get(*WANTED_OF_REDIS)
    except ResponseError as failure:
        text = f"answers; it does not let us see whether every write is on disk before it is answered ({failure})"
        return [Finding(level="warn", what="flag store", text=text)]
    wrong = [
        f"{name} {held.get(name)}, not {wanted}" for name, wanted in WANTED_OF_REDIS.items() if held.get(name) != wanted
    ]
    if wrong:
        text = f"answers, but could lose a kill switch: {'; '.join(wrong)}"
        return [Finding(level="warn", what="flag store", text=text)]
    return [Finding(level="ok", what="flag store", text="answers, and has every write on disk before it is answered")]


async def _groups(redis: Redis) -> list[Finding]:
    findings = []
    for environment in await environments(redis):
        for group in await groups_of(redis, environment):
            findings.append(await _group(FlagStore(redis, environment, group)))  # noqa: PERF401  (one after the other)
    return findings


async def _group(store: FlagStore) -> Finding:
    what = f"flags of {store.keys.group} ({store.keys.environment})"
    try:
        snapshot = await store.read()
    except DamagedStore as damage:
        return Finding(level="bad", what=what, text=str(damage))
    if snapshot is None:
        return Finding(level="bad", what=what, text="the store has lost their data")
    if snapshot.latch:
        text = f"the kill switch is set: off until `rollout rearm {store.keys.group} --reason …`"
        return Finding(level="warn", what=what, text=text)
    return Finding(level="ok", what=what, text=f"epoch {snapshot.epoch}, {counted(len(snapshot.flags), 'flag')}")


async def _owners(redis: Redis, client: Client | None) -> list[Finding]:
    owners = await _owners_of(redis)
    return [await _owner(client, owner, owners[owner]) for owner in sorted(owners)]


async def _owner(client: Client | None, owner: str, stores: list[FlagStore]) -> Finding:
    name = name_of(_workflow_of(owner))
    what = f"owner {name}"
    if client is None:
        return Finding(level="warn", what=what, text="Temporal would know whether it runs")
    try:
        runs = await _runs(client, owner)
    except RPCError as failure:
        return Finding(level="warn", what=what, text=f"Temporal did not say whether it runs: {failure.message}")
    if runs:
        return Finding(level="ok", what=what, text="runs")
    exposed = [found for store in stores for found in await _exposed(store)]
    text = (
        f"owns flags or services and does not run: nobody watches {'; '.join(exposed)}. "
        f"`rollout emergency-rollback {name} --reason …` takes it back, `rollout rearm {name} --reason …` then frees it"
        if exposed
        else f"owns flags or services, does not run, and exposes nobody: `rollout doctor --release {name}` frees it"
    )
    return Finding(level="bad", what=what, text=text)


async def _exposed(store: FlagStore) -> list[str]:
    """What of a group somebody may see now, read back; what cannot be read may be seen."""
    found = await check_safety(store.keys.environment, store.keys.group)
    return [f"{one.what} ({one.text})" for one in found if one.state != "safe"]


async def _owners_of(redis: Redis) -> dict[str, list[FlagStore]]:
    """Everybody who owns something, by the registry and by the groups' own keys, with the groups that say so."""
    owners: dict[str, list[FlagStore]] = {owner: [] for owner in (await owned(redis)).values()}
    for environment in await environments(redis):
        for group in await groups_of(redis, environment):
            store = FlagStore(redis, environment, group)
            owner = (await store.read_safety()).owner
            if owner is not None:
                owners.setdefault(owner, []).append(store)
    return owners


def _workflow_of(owner: str) -> str:
    return owner.rpartition("/")[0]


async def _runs(client: Client, owner: str) -> bool:
    """Whether this very rollout is open: another one of its plan is another owner."""
    workflow_id, _, first_run_id = owner.rpartition("/")
    try:
        found = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=ANSWERS_WITHIN)
    except RPCError as failure:
        if failure.status is RPCStatusCode.NOT_FOUND and not lacks_the_namespace(failure):
            return False
        raise
    first = found.raw_description.workflow_execution_info.first_run_id
    return found.status is WorkflowExecutionStatus.RUNNING and first == first_run_id
