"""Pages as Google's list calls give them: at most so many entries, and an opaque token for the rest."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, TypeVar

from sandbox.rpc_errors import invalid

T = TypeVar("T")


def token_for(offset: int) -> str:
    return urlsafe_b64encode(b"offset:%d" % offset).decode()


def offset_of(token: str, *, field: str) -> int:
    """The place a page token points to.

    Raises:
        RpcError: INVALID_ARGUMENT, the token was not made here.
    """
    if not token:
        return 0
    try:
        marker, _, number = urlsafe_b64decode(token).partition(b":")
        offset = int(number)
    except (binascii.Error, ValueError) as error:
        raise invalid(field, "The page token is not one of this server.") from error
    if marker != b"offset" or offset < 0:
        raise invalid(field, "The page token is not one of this server.")
    return offset


def page_of(entries: Sequence[T], request: Any, *, field: str, largest: int) -> tuple[Sequence[T], str]:
    """The page of `entries` that a list call asks for, and the token of the next one, empty after the last.

    Raises:
        RpcError: INVALID_ARGUMENT, a negative page size or a token that was not made here.
    """
    if request.page_size < 0:
        raise invalid(field, "The page size must not be negative.")
    start = offset_of(request.page_token, field=field)
    end = start + min(request.page_size or largest, largest)
    return entries[start:end], token_for(end) if end < len(entries) else ""
