"""What Temporal's pages show of a failure."""

import pytest
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
