"""A time that may be read on another day names its own."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rollout.moments import time_of_day

EVENING = datetime(2026, 11, 22, 17, 59, 7, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TOKYO = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("read_at", "words"),
    [
        (EVENING, "17:59"),
        (MIDNIGHT - SECOND, "17:59"),
        (MIDNIGHT, "2026-11-22 17:59"),
        ((MIDNIGHT - SECOND).astimezone(TOKYO), "17:59"),
        (None, "2026-11-22 17:59"),
    ],
    ids=["at once", "before midnight", "after midnight", "by a reader elsewhere", "at any time later"],
)
def test_the_day_is_named_unless_it_is_read_on_it(read_at: datetime | None, words: str) -> None:
    assert time_of_day(EVENING, read_at) == words


def test_where_seconds_matter_they_are_said() -> None:
    assert time_of_day(EVENING, EVENING, seconds=True) == "17:59:07"
