"""Every timeout, retry policy and task queue, one named set per kind of call. Nowhere else is a time limit written.

Calls to outside systems are retried without end where giving up would leave people exposed: the workflow pages a
person when a call takes long (`PAGE_AFTER`), and goes on trying. What cannot succeed by trying again is marked
non-retryable by the activity that knows it.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig

with workflow.unsafe.imports_passed_through():
    from rollout.messages import EMERGENCY_TASK_QUEUE, TASK_QUEUE

PAGE_AFTER = timedelta(minutes=5)
"""How long a call or a rollback may take before a person is paged; and again after each further such time."""

UNJUDGED_AT_MOST = timedelta(minutes=1)
"""How long a check, or a change of what people see, may take before their gates are judged beside it."""

FLAGS_BEFORE_TRAFFIC = timedelta(seconds=10)
"""How long a rollback waits for the flag store before it takes traffic back beside it."""

AFTER_A_REFUSAL = timedelta(seconds=15)
"""The pause before a rollback's step that was refused for good is tried anew; twice as long after each refusal."""

LONGEST_AFTER_A_REFUSAL = timedelta(minutes=2)
"""So that a refusal that lasts for days leaves a history that Temporal still takes."""

_STEADY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
_URGENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=1.5, maximum_interval=timedelta(seconds=2)
)

# A cancelled call is left at once: a rollback never waits for a deployment. The fence refuses what comes late.
_LEAVE_AT_ONCE = ActivityCancellationType.TRY_CANCEL

_FORWARD = ActivityConfig(task_queue=TASK_QUEUE, retry_policy=_STEADY, cancellation_type=_LEAVE_AT_ONCE)
"""What all calls of the way forward share."""

FLAG_STORE = ActivityConfig(**_FORWARD, start_to_close_timeout=timedelta(seconds=10))

READ_CLOUD_RUN = ActivityConfig(**_FORWARD, start_to_close_timeout=timedelta(seconds=30))

# A container may take four minutes to start before Cloud Run gives up on it.
CHANGE_CLOUD_RUN = ActivityConfig(
    **_FORWARD,
    start_to_close_timeout=timedelta(minutes=15),
    heartbeat_timeout=timedelta(seconds=30),
)

READ_MONITORING = ActivityConfig(**_FORWARD, start_to_close_timeout=timedelta(minutes=2))

CHECK = ActivityConfig(
    **_FORWARD,
    start_to_close_timeout=timedelta(seconds=30),
    schedule_to_close_timeout=timedelta(minutes=5),
)

_LOAD_TESTS_BEGUN = 3
"""A worker that dies takes its load test with it, and the next one begins from the start."""


def load_test(lasts: timedelta) -> ActivityConfig:
    """A load test of that length. Starting its process and hearing the last answers take a while more."""
    one_run = lasts + timedelta(minutes=2)
    return ActivityConfig(
        **_FORWARD,
        start_to_close_timeout=one_run,
        schedule_to_close_timeout=one_run * _LOAD_TESTS_BEGUN,
        # Cancelled, the process goes on until the next heartbeat that is sent: about four fifths of this.
        heartbeat_timeout=timedelta(seconds=10),
    )


# Computed on the spot; what fails is a machine without time zones, and another one may have them.
ASK_WINDOW = ActivityConfig(**_FORWARD, start_to_close_timeout=timedelta(seconds=10))

NOTIFY = ActivityConfig(
    task_queue=TASK_QUEUE,
    start_to_close_timeout=timedelta(seconds=30),
    schedule_to_close_timeout=timedelta(hours=24),
    retry_policy=_STEADY,
)

LATCH_FLAGS = ActivityConfig(
    task_queue=EMERGENCY_TASK_QUEUE,
    start_to_close_timeout=timedelta(seconds=5),
    retry_policy=_URGENT,
)

# The traffic is not kept waiting for the flag store, before the flags are off or after.
LATCH_BRIEFLY = ActivityConfig(**LATCH_FLAGS, schedule_to_close_timeout=FLAGS_BEFORE_TRAFFIC)

RESTORE_TRAFFIC = ActivityConfig(
    task_queue=EMERGENCY_TASK_QUEUE,
    start_to_close_timeout=timedelta(minutes=10),
    heartbeat_timeout=timedelta(seconds=15),
    retry_policy=_URGENT,
)

# Bookkeeping after safety is reached; it uses the emergency queue because the other one may be the problem.
SETTLE = ActivityConfig(
    task_queue=EMERGENCY_TASK_QUEUE,
    start_to_close_timeout=timedelta(seconds=10),
    retry_policy=_STEADY,
)


def to_its_end(options: ActivityConfig) -> ActivityConfig:
    """Cancelled, the call has ended only once its worker says so, or has not been heard of for a heartbeat's time."""
    return ActivityConfig({**options, "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED})


def summarised(options: ActivityConfig, summary: str) -> ActivityConfig:
    """Options for one call with the line that the Temporal UI shows for it."""
    return ActivityConfig({**options, "summary": summary})


_LOOK_AGAIN = timedelta(seconds=10)


def _evenly(interval: timedelta) -> RetryPolicy:
    """After a failure; an attempt that looked says itself when the next look is due."""
    return RetryPolicy(initial_interval=interval, backoff_coefficient=1.0)


def watch(check_interval: timedelta) -> ActivityConfig:
    """One look per attempt."""
    return ActivityConfig(
        task_queue=TASK_QUEUE,
        start_to_close_timeout=timedelta(minutes=2),
        heartbeat_timeout=timedelta(seconds=20),
        retry_policy=_evenly(min(check_interval, _LOOK_AGAIN)),
        cancellation_type=_LEAVE_AT_ONCE,
    )


def watch_store(check_interval: timedelta) -> ActivityConfig:
    """As `watch`, of the flag store alone: one read for each attempt."""
    return ActivityConfig(
        task_queue=TASK_QUEUE,
        start_to_close_timeout=timedelta(seconds=10),
        retry_policy=_evenly(min(check_interval, _LOOK_AGAIN)),
        cancellation_type=_LEAVE_AT_ONCE,
    )


def deadman() -> ActivityConfig:
    """As `watch`, on the other queue: what keeps the watch from looking must not keep this from noticing."""
    return ActivityConfig(
        task_queue=EMERGENCY_TASK_QUEUE,
        start_to_close_timeout=timedelta(seconds=30),
        retry_policy=_evenly(timedelta(seconds=5)),
        cancellation_type=_LEAVE_AT_ONCE,
    )


def guard() -> ActivityConfig:
    """As `watch`, after a rollback, on the queue that is always free."""
    return ActivityConfig(
        task_queue=EMERGENCY_TASK_QUEUE,
        start_to_close_timeout=timedelta(minutes=10),
        heartbeat_timeout=timedelta(seconds=30),
        retry_policy=_evenly(timedelta(seconds=5)),
    )
