"""What is packed is read to the last bit, what an older version packed too, and nothing else is taken for it."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.packed_numbers import packed, unpacked


@dataclass(frozen=True)
class Pair:
    share: float
    count: int = 0


@dataclass(frozen=True)
class Row:
    pairs: tuple[Pair, ...]
    limit: float | None = None
    told: bool = False


@dataclass(frozen=True)
class RowOfLater:
    """As `Row`, with a field that came later."""

    pairs: tuple[Pair, ...]
    limit: float | None = None
    told: bool = False
    since: tuple[int, int] = (1, 2)


pairs = st.builds(Pair, share=st.floats(allow_nan=False), count=st.integers(0, 10**40))
rows = st.builds(
    Row, pairs=st.lists(pairs, max_size=5).map(tuple), limit=st.none() | st.floats(allow_nan=False), told=st.booleans()
)


@given(rows)
def test_what_is_packed_is_read_to_the_last_bit(row: Row) -> None:
    assert unpacked(packed(row, Row), Row) == row


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_read_to_the_microsecond(moment: datetime) -> None:
    assert unpacked(packed(moment, datetime), datetime) == moment


def test_a_time_of_another_zone_is_the_same_time() -> None:
    moment = datetime(2026, 11, 23, 12, tzinfo=timezone(timedelta(hours=5)))

    assert unpacked(packed(moment, datetime), datetime) == moment


@given(rows)
def test_what_was_packed_before_a_field_was_added_is_read_with_its_default(row: Row) -> None:
    read = unpacked(packed(row, Row), RowOfLater)

    assert read == RowOfLater(row.pairs, row.limit, row.told)


def test_a_field_that_is_not_known_yet_is_refused() -> None:
    with pytest.raises(ValueError, match="Row has 3 fields, got 4"):
        unpacked(packed(RowOfLater(()), RowOfLater), Row)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda text: "",
        lambda text: text[:-4],
        lambda text: text[:8],
        lambda text: f"{text[:3]}…{text[4:]}",
        lambda text: b64encode(b64decode(text)[:-1] + b"\x00\x00").decode(),
        lambda text: b64encode(b"\x7f" + b64decode(text)[1:]).decode(),
    ],
    ids=["nothing", "an end that is missing", "a beginning", "a strange letter", "more than there is", "too many"],
)
def test_what_is_damaged_is_refused(damaged: object) -> None:
    text = packed(Row((Pair(0.5, 3), Pair(1.5, 300)), 2.5), Row)

    assert callable(damaged)
    with pytest.raises(ValueError, match=r"packed|base64|ascii|ASCII|padding|fields"):
        unpacked(damaged(text), Row)
