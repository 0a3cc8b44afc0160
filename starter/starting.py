"""Starting a rollout: everything that can be found wrong is found before anything is sent."""

import asyncio
import re
from collections.abc import Sequence
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from rollout.messages import LONGEST_IMAGE, SEARCH_ATTRIBUTES, SEARCH_PLAN, TASK_QUEUE, WORKFLOW, RolloutRequest
from rollout.plan import RolloutPlan
from rollout.progress import RolloutStatus
from rollout.wording import duration_in_words, plan_details_markdown
from starter.outcome import failed, refused
from starter.rollouts import (
    MEMO_BY,
    MEMO_ENVIRONMENT,
    MEMO_GROUP,
    SERVER_ANSWERS_WITHIN,
    Observation,
    Rollouts,
    name_of,
)

FIRST_WORD_WITHIN = timedelta(seconds=10)
"""How long a start waits to hear whether the rollout goes ahead or is refused."""
BETWEEN_LOOKS = timedelta(milliseconds=200)

SHORTEST_REAL_INTERVAL = timedelta(seconds=60)

_IMAGE = re.compile(r"[^\s=]+")


def images_of(plan: RolloutPlan, given: Sequence[str]) -> dict[str, str]:
    """One image per service: from `--image key=reference`, or else from the plan.

    Raises:
        CommandEnds: an image is missing, malformed, given twice, or for a service that the plan does not have.
    """
    known = ", ".join(plan.services)
    chosen, problems = _read(given, example=next(iter(plan.services)))
    problems += [
        f"--image '{key}={image}': the plan has no service {key!r}; it has: {known}"
        for key, image in chosen.items()
        if key not in plan.services
    ]
    for key, service in plan.services.items():
        if key not in chosen and service.image is not None:
            chosen[key] = service.image
        elif key not in chosen and not any(text.startswith(f"{key}=") for text in given):
            problems.append(f"--image {key}=…: is missing, and the plan names no image for {key}")
    if problems:
        raise refused("\n".join(problems))
    return {key: chosen[key] for key in plan.services}


def images_by_service(given: Sequence[str]) -> dict[str, str]:
    """Images from `--image key=reference`, for services that the running rollout knows.

    Raises:
        CommandEnds: one is malformed or given twice.
    """
    chosen, problems = _read(given, example="backend")
    if problems:
        raise refused("\n".join(problems))
    return chosen


def _read(given: Sequence[str], *, example: str) -> tuple[dict[str, str], list[str]]:
    chosen: dict[str, str] = {}
    problems: list[str] = []
    for text in given:
        key, equals, image = (part.strip() for part in text.partition("="))
        if not equals or not key or not _IMAGE.fullmatch(image):
            problems.append(
                f"--image {text!r}: expected SERVICE=IMAGE without spaces, for example {example}=registry/{example}:2"
            )
        elif len(image) > LONGEST_IMAGE:
            problems.append(f"--image {key}=…: {len(image):,} characters long, at most {LONGEST_IMAGE:,} are allowed")
        elif key in chosen:
            problems.append(f"--image {text!r}: {key} is given twice")
        else:
            chosen[key] = image
    return chosen, problems


def check_intervals(plan: RolloutPlan, *, on_a_sandbox: bool) -> None:
    """Cloud Monitoring has no intervals below a minute; only the sandbox has.

    Raises:
        CommandEnds: the plan looks more often than the real service can answer.
    """
    if plan.check_interval < SHORTEST_REAL_INTERVAL and not on_a_sandbox:
        raise refused(
            f"check_interval: {duration_in_words(plan.check_interval)} is shorter than the "
            f"{duration_in_words(SHORTEST_REAL_INTERVAL)} that Cloud Monitoring can answer for. "
            "Such a plan is a rehearsal: set ROLLOUT_GOOGLE_ENDPOINT to a sandbox (`rollout local` starts one)"
        )


async def knows_search_attributes(client: Client) -> bool:
    """Whether the namespace has ours; a rollout runs without them where it has not."""
    try:
        answer = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace), timeout=SERVER_ANSWERS_WITHIN
        )
    except RPCError:
        # Managed services keep their operator API to themselves; the rollout does without.
        return False
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    return all(answer.custom_attributes.get(name) == keyword for name in SEARCH_ATTRIBUTES)


async def start(rollouts: Rollouts, request: RolloutRequest) -> str:
    """Start the workflow; returns its run id.

    Raises:
        CommandEnds: a rollout of this plan is open already, or the server did not take it.
    """
    plan = request.plan
    plan_attribute = SearchAttributePair(SearchAttributeKey.for_keyword(SEARCH_PLAN), plan.name)
    try:
        handle = await rollouts.client.start_workflow(
            WORKFLOW,
            request,
            id=plan.workflow_id,
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            memo={MEMO_ENVIRONMENT: plan.environment, MEMO_GROUP: plan.name, MEMO_BY: request.by},
            search_attributes=TypedSearchAttributes([plan_attribute] if request.search_attributes else []),
            static_summary=f"{plan.name}: {', '.join(request.images.values())}",
            static_details=plan_details_markdown(plan, request.images),
            rpc_timeout=SERVER_ANSWERS_WITHIN,
        )
    except WorkflowAlreadyStartedError:
        raise refused(await _open_already(rollouts, plan)) from None
    except RPCError as failure:
        raise failed(f"Temporal did not start the rollout: {failure.message}") from failure
    return str(handle.first_execution_run_id)


async def first_word(rollouts: Rollouts, workflow_id: str) -> Observation:
    """What the rollout says once it knows whether it goes ahead, or the last look after `FIRST_WORD_WITHIN`.

    One that is refused is waited for until it is closed: whoever reads that may type the next command at once.
    """
    deadline = asyncio.get_running_loop().time() + FIRST_WORD_WITHIN.total_seconds()
    observation = await rollouts.observe(workflow_id)
    while asyncio.get_running_loop().time() < deadline:
        status = observation.progress.status if observation.progress is not None else RolloutStatus.STARTING
        if status is not RolloutStatus.STARTING and not (status is RolloutStatus.REFUSED and observation.is_open):
            break
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds())
        observation = await rollouts.observe(workflow_id, observation)
    return observation


async def _open_already(rollouts: Rollouts, plan: RolloutPlan) -> str:
    description = await rollouts.describe(plan.workflow_id)
    by = await description.memo_value(MEMO_BY, default="somebody")
    name = name_of(plan.workflow_id)
    return (
        f"a rollout of {name} is open already: {by} started it at {description.start_time:%Y-%m-%d %H:%M:%S} UTC. "
        f"Nothing was changed. `rollout status {name}` shows it; one rollout at a time owns a plan's services and flags"
    )
