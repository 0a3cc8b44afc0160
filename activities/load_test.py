"""A load test as a stage's check: its process lives as long as the activity, and the activity as long as its worker."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import Failure
from loadtest.process import LoadTestBroke, LoadTestUnavailable, started
from rollout.load_test import LoadReport, LoadTest, broken_limits, in_a_line


@activity.defn
async def run_load_test(test: LoadTest) -> LoadReport:
    """Run it to its end; each report is a heartbeat. Cancelled, it leaves no process behind.

    Raises:
        ApplicationError: LimitBroken, not retryable, naming every limit that is broken. NotInstalled, not retryable:
            this worker has no Locust. SourceFailure, retryable: the load test itself broke.
    """
    report: LoadReport | None = None
    try:
        async with started(test) as reports:
            async for report in reports:
                activity.heartbeat(in_a_line(test, report))
    except LoadTestUnavailable as missing:
        raise ApplicationError(
            f"{missing}, for the worker", type=Failure.NOT_INSTALLED, non_retryable=True
        ) from missing
    except LoadTestBroke as broke:
        raise ApplicationError(str(broke), type=Failure.SOURCE_FAILURE) from broke
    assert report is not None, "reports end with a final one"  # noqa: S101
    if broken := broken_limits(test, report):
        raise ApplicationError("; ".join(broken), type=Failure.LIMIT_BROKEN, non_retryable=True)
    return report
