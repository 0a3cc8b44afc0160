"""How a call to the outside fails: one name per kind of failure, and what each kind is answered with.

    a call failed
    ├── the answer was an error of Google's API ─ `classify`
    │   ├── RETRYABLE   UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, UNKNOWN, CANCELLED, RESOURCE_EXHAUSTED
    │   │               nobody said no. A write may have landed all the same: read again, then decide
    │   ├── CONFLICT    ABORTED
    │   │               somebody else wrote, or an earlier write of ours still holds the version: read again, decide
    │   └── FATAL       INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE, NOT_FOUND, ALREADY_EXISTS,
    │                   PERMISSION_DENIED, UNAUTHENTICATED, UNIMPLEMENTED, DATA_LOSS, a failed operation of any code
    │                   trying again changes nothing; a person must
    └── the answer was read, and something must not go on ─ an `ApplicationError` whose type is a `Failure`

An operation that was accepted and then failed carries a code too, but it says how the service ended, not how the
call went: 13 (INTERNAL) is how Cloud Run reports an unknown revision, and no retry makes that revision exist.
"""

from datetime import timedelta
from enum import Enum, StrEnum, auto
from typing import Final

import grpc
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError, RetryError
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory


class Failure(StrEnum):
    """Types of the `ApplicationError`s that activities raise: what a workflow tells failures apart by."""

    DEPLOYMENT_FAILED = "DeploymentFailed"
    """The change was accepted, and Cloud Run could not bring it about."""
    STALE_FENCE = "StaleFence"
    """A later rollout, or the rollback of this one, has written since: this request is a thing of the past."""
    FOREIGN_CHANGE = "ForeignChange"
    """Somebody else changed what this rollout owns."""
    AMBIGUOUS = "Ambiguous"
    """What is there does not say clearly enough what to do, for example two revisions that both serve."""
    NOT_ALLOWED = "NotAllowed"
    """Credentials or permissions do not allow the call."""
    NOT_FOUND = "NotFound"
    INVALID_REQUEST = "InvalidRequest"
    """The request itself is wrong, or the service is in no state to take it."""
    NO_DATA = "NoData"
    """The monitoring system answers, and has nothing for a metric that must have data."""
    UNHEALTHY = "Unhealthy"
    """An endpoint did not answer as it must."""
    LIMIT_BROKEN = "LimitBroken"
    """A load test ran to its end, and what its users met is beyond a limit."""
    NOT_INSTALLED = "NotInstalled"
    """This worker lacks an optional part of the product that the call needs."""
    SOURCE_FAILURE = "SourceFailure"
    """The other side could not be reached or did not manage to answer."""


class Reaction(Enum):
    """What an error of the API is answered with; see the tree above."""

    RETRYABLE = auto()
    CONFLICT = auto()
    FATAL = auto()


REACTIONS: Final[dict[grpc.StatusCode, Reaction]] = {
    grpc.StatusCode.UNAVAILABLE: Reaction.RETRYABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Reaction.RETRYABLE,
    grpc.StatusCode.INTERNAL: Reaction.RETRYABLE,
    grpc.StatusCode.UNKNOWN: Reaction.RETRYABLE,
    grpc.StatusCode.CANCELLED: Reaction.RETRYABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Reaction.RETRYABLE,
    grpc.StatusCode.ABORTED: Reaction.CONFLICT,
    grpc.StatusCode.INVALID_ARGUMENT: Reaction.FATAL,
    grpc.StatusCode.FAILED_PRECONDITION: Reaction.FATAL,
    grpc.StatusCode.OUT_OF_RANGE: Reaction.FATAL,
    grpc.StatusCode.NOT_FOUND: Reaction.FATAL,
    grpc.StatusCode.ALREADY_EXISTS: Reaction.FATAL,
    grpc.StatusCode.PERMISSION_DENIED: Reaction.FATAL,
    grpc.StatusCode.UNAUTHENTICATED: Reaction.FATAL,
    grpc.StatusCode.UNIMPLEMENTED: Reaction.FATAL,
    grpc.StatusCode.DATA_LOSS: Reaction.FATAL,
}

_FATAL_TYPES: Final[dict[grpc.StatusCode, Failure]] = {
    grpc.StatusCode.NOT_FOUND: Failure.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED: Failure.NOT_ALLOWED,
    grpc.StatusCode.UNAUTHENTICATED: Failure.NOT_ALLOWED,
}


def classify(error: GoogleAPIError) -> Reaction:
    """What to answer an error of a Google client with."""
    code = _status_code(error)
    if code is not None:
        return REACTIONS[code]
    # What a client tried again by itself, until its time was over, may be tried again. The bare class is what the
    # async clients raise for a failed operation, with its code in `errors[0].code`: that one is settled.
    return Reaction.RETRYABLE if isinstance(error, RetryError) else Reaction.FATAL


def failure_type(error: GoogleAPIError) -> Failure:
    """The type that an error of a Google client is raised on with."""
    if classify(error) is not Reaction.FATAL:
        return Failure.SOURCE_FAILURE
    code = _status_code(error)
    return Failure.INVALID_REQUEST if code is None else _FATAL_TYPES.get(code, Failure.INVALID_REQUEST)


def in_words(error: GoogleAPIError) -> str:
    """The code by its name and the message, for people: `PERMISSION_DENIED: caller lacks run.services.update`."""
    code = _status_code(error)
    message = getattr(_last(error), "message", None) or str(error)
    return f"{code.name}: {message}" if code is not None else str(message)


def not_yet(text: str, kind: str, *, again_after: timedelta) -> ApplicationError:
    """How an attempt ends that looked and has nothing to report: no failure, and the server starts the next one."""
    return ApplicationError(text, type=kind, category=ApplicationErrorCategory.BENIGN, next_retry_delay=again_after)


def _last(error: GoogleAPIError) -> BaseException:
    return error.cause if isinstance(error, RetryError) and isinstance(error.cause, BaseException) else error


def _status_code(error: GoogleAPIError) -> grpc.StatusCode | None:
    last = _last(error)
    return last.grpc_status_code if isinstance(last, GoogleAPICallError) else None


def refusal(error: GoogleAPIError, doing: str) -> ApplicationError:
    """The failure of an activity whose call ended in `error`; not retryable where trying again changes nothing."""
    return ApplicationError(
        f"{doing}: {in_words(error)}",
        type=failure_type(error),
        non_retryable=classify(error) is Reaction.FATAL,
    )
