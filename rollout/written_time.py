"""Points of time in what people and programs write: RFC 3339, and no number, which does not say what it counts from."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator

EXPECTED = "a time with its zone is expected, such as 2026-11-24T12:00:00Z"


def _no_number(given: object) -> object:
    """Pydantic takes numbers for seconds since 1970, large ones for milliseconds, and dates for midnight."""
    if isinstance(given, datetime) or (isinstance(given, str) and ":" in given):
        return given
    raise ValueError(EXPECTED)


WrittenTime = Annotated[AwareDatetime, BeforeValidator(_no_number)]
