"""How values travel through Temporal: as pydantic models, and failures with what a person can use of them."""

from dataclasses import replace

from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory


class _FailureConverter(DefaultFailureConverter):
    """A benign failure is an expected answer, such as "still soaking": where it was raised in our code is no news.

    Its stack trace would be the longest thing on the Temporal UI's page of a healthy rollout, written anew each minute.
    """

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        if isinstance(exception, ApplicationError) and exception.category is ApplicationErrorCategory.BENIGN:
            exception.with_traceback(None)
        super().to_failure(exception, payload_converter, failure)


DATA_CONVERTER = replace(pydantic_data_converter, failure_converter_class=_FailureConverter)
