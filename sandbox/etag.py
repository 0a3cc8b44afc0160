"""A Cloud Run etag: the time of the last change of the spec, and whose spec it is.

The form was read off recorded answers of the real service. It does not change when a reconciliation finishes, so an
etag read before a long operation still fits after it.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from google.protobuf.message import DecodeError

from sandbox.clock import micros_of, timestamp
from sandbox.wire_messages import Timestamp


def etag_of(update_time: int, resource_name: str) -> str:
    """The etag, quotes included, of a resource last changed at `update_time` (microseconds)."""
    return f'"{_encode(timestamp(update_time).SerializeToString())}/{_encode(resource_name.encode())}"'


def stamp(message: Any, instant: int) -> None:
    """Note that the spec of a service changed at `instant`."""
    message.update_time.CopyFrom(timestamp(instant))
    message.etag = etag_of(instant, message.name)


def version_in(etag: str) -> str:
    """The microseconds an etag stands for, or the etag itself where it is none of ours; for messages."""
    stamp, _, _ = etag.strip('"').partition("/")
    try:
        return str(micros_of(Timestamp.FromString(urlsafe_b64decode(stamp + "=" * (-len(stamp) % 4)))))
    except (binascii.Error, ValueError, DecodeError):
        return etag


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
