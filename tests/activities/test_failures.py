"""Every way a Google call can end has an answer, and none is guessed."""

import re
from types import SimpleNamespace

import grpc
import pytest
from google.api_core import exceptions

import activities.failures
from activities.failures import REACTIONS, Failure, Reaction, classify, failure_type, in_words, refusal

ERROR_CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def failed_call(code: grpc.StatusCode, message: str = "told why") -> exceptions.GoogleAPICallError:
    """What the clients raise for a call that ended in `code`."""
    error = exceptions.from_grpc_status(code, message)  # type: ignore[no-untyped-call]
    assert isinstance(error, exceptions.GoogleAPICallError)
    return error


def failed_operation(code: int) -> exceptions.GoogleAPICallError:
    """What the async clients raise for an accepted operation that failed: the bare class, its code in the errors."""
    status = SimpleNamespace(code=code, message="Revision 'backend-r2' does not exist or is deleted.")
    return exceptions.GoogleAPICallError(status.message, errors=(status,), response=None)  # type: ignore[no-untyped-call]


def test_every_status_code_but_success_has_a_reaction() -> None:
    assert set(REACTIONS) == set(ERROR_CODES)


def test_the_documented_tree_names_every_code_under_its_reaction() -> None:
    tree = (activities.failures.__doc__ or "").partition("─ an `ApplicationError`")[0]
    branches = re.findall(r"── (RETRYABLE|CONFLICT|FATAL)\s(.*?)(?=── |\Z)", tree, re.DOTALL)
    documented = {
        code: Reaction[reaction]
        for reaction, text in branches
        for code in ERROR_CODES
        if re.search(rf"\b{code.name}\b", text)
    }
    assert documented == REACTIONS


@pytest.mark.parametrize("code", ERROR_CODES, ids=lambda code: code.name)
def test_a_failed_call_is_classified_by_its_code_alone(code: grpc.StatusCode) -> None:
    assert classify(failed_call(code)) is REACTIONS[code]


def test_an_existing_name_is_not_mistaken_for_a_conflict_although_both_are_409() -> None:
    assert isinstance(failed_call(grpc.StatusCode.ALREADY_EXISTS), exceptions.Conflict)
    assert classify(failed_call(grpc.StatusCode.ALREADY_EXISTS)) is Reaction.FATAL
    assert classify(failed_call(grpc.StatusCode.ABORTED)) is Reaction.CONFLICT


@pytest.mark.parametrize("code", [13, 14, 10, 9])
def test_an_operation_that_failed_is_never_taken_for_a_call_that_may_be_repeated(code: int) -> None:
    assert classify(failed_operation(code)) is Reaction.FATAL
    assert failure_type(failed_operation(code)) is Failure.INVALID_REQUEST


def test_retries_that_ran_out_are_classified_by_what_ended_them() -> None:
    unavailable = failed_call(grpc.StatusCode.UNAVAILABLE)
    denied = failed_call(grpc.StatusCode.PERMISSION_DENIED)
    given_up = exceptions.RetryError("Timeout of 10.0s exceeded", None)  # type: ignore[no-untyped-call]
    assert classify(exceptions.RetryError("gave up", unavailable)) is Reaction.RETRYABLE  # type: ignore[no-untyped-call]
    assert classify(exceptions.RetryError("gave up", denied)) is Reaction.FATAL  # type: ignore[no-untyped-call]
    assert classify(given_up) is Reaction.RETRYABLE
    assert in_words(given_up) == "Timeout of 10.0s exceeded"


@pytest.mark.parametrize(
    ("code", "failure", "final"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, Failure.NOT_ALLOWED, True),
        (grpc.StatusCode.UNAUTHENTICATED, Failure.NOT_ALLOWED, True),
        (grpc.StatusCode.NOT_FOUND, Failure.NOT_FOUND, True),
        (grpc.StatusCode.FAILED_PRECONDITION, Failure.INVALID_REQUEST, True),
        (grpc.StatusCode.UNAVAILABLE, Failure.SOURCE_FAILURE, False),
        (grpc.StatusCode.ABORTED, Failure.SOURCE_FAILURE, False),
    ],
)
def test_a_refusal_says_what_was_being_done_and_why_it_failed(
    code: grpc.StatusCode, failure: Failure, *, final: bool
) -> None:
    raised = refusal(failed_call(code, "because"), "shifting backend to 10 %")
    assert raised.message == f"shifting backend to 10 %: {code.name}: because"
    assert (raised.type, raised.non_retryable) == (failure, final)
