"""What Temporal's pages show of a failure, and what becomes of data that cannot be read."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from config.data_converter import DATA_CONVERTER
from config.failure_size import LARGEST_FAILURE_BYTES
from rollout.soak import begin
from rollout.watch import Expected, WatchBeat, WatchRequest
from tests.rollout.samples import NOON

MOST_THE_SERVER_SHOWS = 4 * 1024


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


def raised_from(depth: int, text: str) -> None:
    """Fails as deep inside, and is raised anew on each level above."""
    if depth == 0:
        raise ConnectionError(text)
    try:
        raised_from(depth - 1, text)
    except Exception as failure:
        raise ApplicationError(f"{depth}: {text}", type="SourceFailure") from failure


async def encoded_deep(depth: int, text: str) -> Failure:
    with pytest.raises(ApplicationError) as raised:
        raised_from(depth, text)
    failure = Failure()
    await DATA_CONVERTER.encode_failure(raised.value, failure)
    return failure


async def test_of_a_failure_that_is_raised_from_others_the_server_is_given_no_more_than_it_shows() -> None:
    failure = await encoded_deep(12, "no answer")

    assert failure.ByteSize() <= LARGEST_FAILURE_BYTES < MOST_THE_SERVER_SHOWS
    assert (failure.message, failure.application_failure_info.type) == ("12: no answer", "SourceFailure")
    assert "test_data_converter.py" in failure.stack_trace
    assert (failure.cause.message, failure.cause.cause.message) == ("11: no answer", "10: no answer")


async def test_a_failure_that_says_too_much_by_itself_says_where_the_rest_is() -> None:
    failure = await encoded_deep(2, "no answer, öfter " * 1_000)

    assert failure.ByteSize() <= LARGEST_FAILURE_BYTES
    assert failure.message.startswith("2: no answer, öfter no answer")
    assert failure.message.endswith("… (the worker's log has the rest)")
    assert failure.application_failure_info.type == "SourceFailure"


async def test_what_a_failure_was_raised_from_is_shortened_before_it_is_left_out() -> None:
    wrapper, failure = ApplicationError("Activity task failed"), Failure()
    wrapper.__cause__ = ApplicationError("permission denied " * 1_000, type="Denied")
    await DATA_CONVERTER.encode_failure(wrapper, failure)

    assert failure.ByteSize() <= LARGEST_FAILURE_BYTES
    assert failure.message == "Activity task failed"
    assert failure.cause.application_failure_info.type == "Denied"
    assert failure.cause.message.startswith("permission denied")


async def test_a_failure_that_is_small_enough_travels_whole() -> None:
    failure = await encoded_deep(1, "no answer")

    assert failure.cause.message == "no answer"
    assert "raised_from" in failure.cause.stack_trace


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


BEAT = WatchBeat(soak=begin(NOON, timedelta(minutes=1)), judgements=(), as_of=NOON)


async def test_a_beat_that_was_written_here_is_given_back_as_it_was_without_being_read_and_is_kept_once() -> None:
    payloads = await DATA_CONVERTER.encode([BEAT])

    (first,), (second,) = await DATA_CONVERTER.decode(payloads), await DATA_CONVERTER.decode(payloads)

    assert first is BEAT
    assert isinstance(second, dict)
    assert WatchBeat.model_validate(second) == BEAT


async def test_a_beat_that_another_worker_wrote_is_read() -> None:
    changed = BEAT.model_copy(update={"as_of": NOON + timedelta(hours=1)})
    await DATA_CONVERTER.encode([BEAT])
    elsewhere = await replace(DATA_CONVERTER).encode([changed])

    (found,) = await DATA_CONVERTER.decode(elsewhere)

    assert WatchBeat.model_validate(found) == changed


async def test_the_request_of_a_watch_is_read_once_and_another_one_is_another() -> None:
    expected = Expected(environment="production", group="shop", fence=1, flags={}, traffic=())
    request = WatchRequest(stage="canary", soak=BEAT.soak, target=timedelta(hours=1), gates={}, expected=expected)
    other = request.model_copy(update={"target": timedelta(hours=2)})
    written = await DATA_CONVERTER.encode([request, other])

    read = [await DATA_CONVERTER.decode([payload], [WatchRequest]) for payload in (*written, *written)]

    assert [found for (found,) in read] == [request, other, request, other]
    assert read[0][0] is read[2][0]
    assert read[1][0] is read[3][0]
    assert await DATA_CONVERTER.decode(written[:1]) != [request], "without a type nobody expects a request"


async def test_a_request_that_cannot_be_read_is_an_error_each_time() -> None:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b'{"stage": "canary"}')
    for _ in range(2):
        with pytest.raises(ValueError, match="target"):
            await DATA_CONVERTER.decode([payload], [WatchRequest])
