"""What Temporal's pages show of a failure, and what becomes of data that cannot be read."""

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from config.data_converter import DATA_CONVERTER


async def encoded(category: ApplicationErrorCategory) -> Failure:
    with pytest.raises(ApplicationError) as raised:
        raise ApplicationError("still soaking: 1h of 24h", type="StillSoaking", category=category)
    failure = Failure()
    await DATA_CONVERTER.encode_failure(raised.value, failure)
    return failure


async def test_an_expected_answer_carries_its_text_and_no_stack_trace() -> None:
    failure = await encoded(ApplicationErrorCategory.BENIGN)
    assert failure.message == "still soaking: 1h of 24h"
    assert failure.application_failure_info.type == "StillSoaking"
    assert failure.stack_trace == ""


async def test_an_unexpected_failure_says_where_it_was_raised() -> None:
    assert "test_data_converter.py" in (await encoded(ApplicationErrorCategory.UNSPECIFIED)).stack_trace


UNREADABLE = {
    "text that calls itself JSON": Payload(metadata={"encoding": b"json/plain"}, data=b"{oh no"),
    "bytes that are no text": Payload(metadata={"encoding": b"json/plain"}, data=b"\xff\xfe"),
    "an encoding that nobody knows": Payload(metadata={"encoding": b"binary/encrypted"}, data=b"\x00"),
    "an encoding that is no text": Payload(metadata={"encoding": b"\xff"}, data=b"\x00"),
    "a message of a type that nobody knows": Payload(metadata={"encoding": b"binary/protobuf"}, data=b"\x00"),
    "no encoding at all": Payload(data=b"stop"),
}


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
async def test_where_anything_may_come_what_cannot_be_decoded_is_its_bytes(payload: Payload) -> None:
    assert await DATA_CONVERTER.decode([payload]) == [payload.data]


async def test_where_a_type_is_expected_what_cannot_be_decoded_is_an_error() -> None:
    with pytest.raises(ValueError, match="Invalid JSON"):
        await DATA_CONVERTER.decode([UNREADABLE["text that calls itself JSON"]], [int])
