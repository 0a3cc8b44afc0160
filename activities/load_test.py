"""A load test as a stage's check: its process lives as long as the activity, and the activity as long as its worker."""

import asyncio
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import Failure
from loadtest.process import LoadTestBroke, LoadTestUnavailable, started
from rollout.load_test import LoadReport, LoadTest, broken_limits, in_a_line

BETWEEN_HEARTBEATS = timedelta(seconds=2)


@activity.defn
async def run_load_test(test: LoadTest) -> LoadReport:
    """Run it to its end; heartbeats say where it stands. Cancelled, it leaves no process behind.

    Raises:
        ApplicationError: LimitBroken, not retryable, naming every limit that is broken. NotInstalled, not retryable:
            this worker has no Locust. SourceFailure, retryable: the load test itself broke.
    """
    seen: list[LoadReport] = []
    beating = asyncio.create_task(_heartbeat(test, seen))
    try:
        async with started(test) as reports:
            async for report in reports:
                seen[:] = [report]
    except LoadTestUnavailable as missing:
        raise ApplicationError(
            f"{missing}, for the worker", type=Failure.NOT_INSTALLED, non_retryable=True
        ) from missing
    except LoadTestBroke as broke:
        raise ApplicationError(str(broke), type=Failure.SOURCE_FAILURE) from broke
    finally:
        beating.cancel()
    if broken := broken_limits(test, seen[-1]):
        raise ApplicationError("; ".join(broken), type=Failure.LIMIT_BROKEN, non_retryable=True)
    return seen[-1]


async def _heartbeat(test: LoadTest, seen: list[LoadReport]) -> None:
    """Also while Locust is still being loaded: a cancellation reaches an activity only with a heartbeat."""
    while True:
        activity.heartbeat(in_a_line(test, seen[-1]) if seen else "the load test begins")
        await asyncio.sleep(BETWEEN_HEARTBEATS.total_seconds())
