"""How values travel through Temporal: as pydantic models, and failures with what a person can use of them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from time import monotonic
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from config.failure_size import shorten
from rollout.places import Places
from rollout.watch import WatchBeat, WatchRequest

READ_ONCE_BYTES = 4 * 1024 * 1024
"""Of JSON, whose values are kept: of about 75 watches of the shipped plan. In memory they take five times as much."""


class _FailureConverter(DefaultFailureConverter):
    """Failures are small enough for Temporal to show them.

    A benign one is an expected answer, such as "still soaking": where it was raised in our code is no news. Its stack
    trace would be the longest thing on the Temporal UI's page of a healthy rollout, written anew each minute.
    """

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        if isinstance(exception, ApplicationError) and exception.category is ApplicationErrorCategory.BENIGN:
            exception.with_traceback(None)
        super().to_failure(exception, payload_converter, failure)
        shorten(failure)


class _PayloadConverter(PydanticPayloadConverter):
    """What is to be of no type in particular may be anything, and what cannot be decoded is then its bytes.

    A person's Update comes as whatever was typed; it is refused in words by who reads it, not here in the SDK's.

    A watch that is tried again each minute is given the same request each time, and the beat that it left the last
    time. Both are kept by their bytes, which are most of what a worker would read.
    """

    def __init__(self) -> None:
        super().__init__()
        self._read: Places[bytes, WatchBeat | WatchRequest] = Places(READ_ONCE_BYTES, monotonic)

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        payloads = super().to_payloads(values)
        for payload, value in zip(payloads, values, strict=True):
            if type(value) is WatchBeat:
                self._read.put(payload.data, value, size=len(payload.data))
        return payloads

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        return [
            self._anything(payload) if hint is None else self._of_type(payload, hint)
            for payload, hint in zip_longest(payloads, type_hints or [])
        ]

    def _of_type(self, payload: Payload, hint: type) -> Any:
        if hint is not WatchRequest:
            return super().from_payloads([payload], [hint])[0]
        request = self._read.get(payload.data)
        if not isinstance(request, WatchRequest):
            request = super().from_payloads([payload], [hint])[0]
            self._read.put(payload.data, request, size=len(payload.data))
        return request

    def _anything(self, payload: Payload) -> Any:
        """A beat that was written here is given back as it was, once: the next attempt writes its own."""
        if isinstance(beat := self._read.get(payload.data), WatchBeat):
            self._read.discard(payload.data)
            return beat
        try:
            return super().from_payloads([payload])[0]
        except (KeyError, RuntimeError, ValueError):
            # An encoding that nobody knows, or data that are not what their encoding says.
            return payload.data


DATA_CONVERTER = replace(
    pydantic_data_converter,
    payload_converter_class=_PayloadConverter,
    failure_converter_class=_FailureConverter,
)
