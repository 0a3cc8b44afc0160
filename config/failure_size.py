"""Failures small enough for Temporal to show them.

Of a call that it tries again the server keeps the last failure, up to 4 KiB; of a larger one people see nothing but
"Failure exceeds size limit." What makes failures large is not what ours say: it is the stack traces of what they were
raised from, down into Google's client and gRPC. The worker's log has all of it.
"""

from collections.abc import Iterator

from temporalio.api.failure.v1 import Failure

LARGEST_FAILURE_BYTES = 3_500
"""Below the server's own limit (`limit.mutableStateActivityFailureSize.error`)."""
SHORTEST_TEXT_BYTES = 300
CUT = " … (the worker's log has the rest)"


def shorten(failure: Failure) -> None:
    """Leave out what tells least until it is small enough: stack traces from the deepest cause on, long texts, causes.

    The failure's own message and type stay, and as much of them as fits.
    """
    chain = list(_causes(failure))
    for one in reversed(chain):
        if excess := _excess(failure):
            # The last frames of a stack trace are the nearest ones.
            one.stack_trace = _last(len(one.stack_trace.encode()) - excess, one.stack_trace) if one is failure else ""
    for one in reversed(chain):
        if excess := _excess(failure):
            one.message = _cut(one.message, excess)
    for one in reversed(chain[:-1]):
        if _excess(failure):
            one.ClearField("cause")


def _causes(failure: Failure) -> Iterator[Failure]:
    """The failure itself, what it was raised from, and so on."""
    yield failure
    if failure.HasField("cause"):
        yield from _causes(failure.cause)


def _excess(failure: Failure) -> int:
    return max(0, failure.ByteSize() - LARGEST_FAILURE_BYTES)


def _cut(text: str, excess: int) -> str:
    """The beginning of a text, shorter by so much, or as short as still says what it is about."""
    cut, whole = len(CUT.encode()), len(text.encode())
    size = max(whole - excess - cut, SHORTEST_TEXT_BYTES)
    return text if size + cut >= whole else text.encode()[:size].decode(errors="ignore") + CUT


def _last(size: int, text: str) -> str:
    return text.encode()[-size:].decode(errors="ignore") if size > 0 else ""
