"""The one place where the way forward calls anything: what was answered is kept, and nothing goes on beside a rollback.

A rollout that goes back leaves its way forward by cancelling it. The SDK hands on the answer of a call that comes in
the very task which cancels it, and forgets the cancellation: without this the way forward would go on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.workflow import ActivityConfig

from workflows import activity_options
from workflows.context import RolloutContext, reason_of

Request = TypeVar("Request")
Answer = TypeVar("Answer")


@overload
async def call_forward(
    context: RolloutContext,
    activity: Callable[[Any, Request], Awaitable[Answer]],
    request: Request,
    options: ActivityConfig,
    *,
    keep: Callable[[Answer], None] | None = None,
    ends_before_the_run: bool = False,
) -> Answer: ...


@overload
async def call_forward(
    context: RolloutContext,
    activity: Callable[[Request], Awaitable[Answer]],
    request: Request,
    options: ActivityConfig,
    *,
    keep: Callable[[Answer], None] | None = None,
    ends_before_the_run: bool = False,
) -> Answer: ...


async def call_forward(
    context: RolloutContext,
    activity: Callable[..., Awaitable[Answer]],
    request: object,
    options: ActivityConfig,
    *,
    keep: Callable[[Answer], None] | None = None,
    ends_before_the_run: bool = False,
) -> Answer:
    """Execute an activity of the way forward. `keep` records its answer, which a rollback beside it may need.

    One that `ends_before_the_run` is left as soon as any other; no new run is begun while it may still be at work.

    Raises:
        ActivityError: it failed for good.
        LongHistory: it was given up for a new run, which makes it again.
        asyncio.CancelledError: everything is being taken back.
    """
    try:
        if ends_before_the_run and workflow.patched("calls-end-before-their-run"):
            answer = await _ended_before_the_run(context, activity, request, options)
        else:
            answer = await workflow.execute_activity(activity, request, **options)
    except ActivityError as failure:
        if not is_cancelled_exception(failure) and context.goes_back and workflow.patched("failed-beside-a-rollback"):
            context.note("failure", f"beside the rollback: {options.get('summary')}: {reason_of(failure)}")
            context.must_go_on()
        raise
    if keep is not None:
        keep(answer)
    context.must_go_on()
    return answer


async def _ended_before_the_run(
    context: RolloutContext,
    activity: Callable[..., Awaitable[Answer]],
    request: object,
    options: ActivityConfig,
) -> Answer:
    """Given up for a new run that cannot begin after all, as something was told or asked for meanwhile: made again."""
    while True:
        call = workflow.start_activity(activity, request, **activity_options.to_its_end(options))
        context.ends_before_the_run(call)
        try:
            return await _left_at_once(call)
        except ActivityError as failure:
            # Once it is given up nobody tries it again, so that any failure ends it.
            if not context.gave_up(call) or _is_final(failure):
                raise
        await context.calls_ended()
        context.end_if_long()


def _is_final(failure: ActivityError) -> bool:
    return isinstance(failure.cause, ApplicationError) and failure.cause.non_retryable


async def _left_at_once(call: "asyncio.Task[Answer]") -> Answer:
    """Cancelled, it asks the call to end and does not wait for that."""
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        call.cancel()
        raise
