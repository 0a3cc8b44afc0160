"""When promotion is allowed: hours, weekdays, freezes, nights, and the two days a year on which clocks change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rollout.windows import WEEKDAYS, Windows

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE: dict[str, object] = {
    "time_zone": "Europe/Berlin",
    "weekdays": ["mon", "tue", "wed", "thu"],
    "hours": "09:00-16:00",
}
NIGHT: dict[str, object] = {"time_zone": "Europe/Berlin", "weekdays": ["fri"], "hours": "22:00-04:00"}
YEAR_END = {"first": "2026-12-21", "last": "2027-01-03", "why": "year end"}


def windows(written: dict[str, object], **more: object) -> Windows:
    return Windows.model_validate(written | more)


def berlin(written: str) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("written", "at", "is_open"),
    [
        pytest.param(OFFICE, "2026-11-23 09:00", True, id="the first minute"),
        pytest.param(OFFICE, "2026-11-23 08:59", False, id="before it"),
        pytest.param(OFFICE, "2026-11-23 15:59:59", True, id="the last second"),
        pytest.param(OFFICE, "2026-11-23 16:00", False, id="its end"),
        pytest.param(OFFICE, "2026-11-27 10:00", False, id="a Friday"),
        pytest.param(NIGHT, "2026-11-27 23:00", True, id="Friday night"),
        pytest.param(NIGHT, "2026-11-28 03:59", True, id="the same night, on Saturday"),
        pytest.param(NIGHT, "2026-11-28 04:00", False, id="the end of the night"),
        pytest.param(NIGHT, "2026-11-28 22:30", False, id="a night that begins on Saturday"),
        pytest.param({"time_zone": "Europe/Berlin"}, "2026-11-29 03:00", True, id="any time"),
        pytest.param({**OFFICE, "freezes": [YEAR_END]}, "2026-12-21 10:00", False, id="the first frozen day"),
        pytest.param({**OFFICE, "freezes": [YEAR_END]}, "2026-12-17 10:00", True, id="before the freeze"),
        pytest.param({**OFFICE, "freezes": [YEAR_END]}, "2027-01-04 10:00", True, id="after the freeze"),
    ],
)
def test_promotion_is_allowed_inside_its_hours_on_its_days_outside_of_freezes(
    written: dict[str, object], at: str, is_open: bool
) -> None:
    assert (windows(written).why_closed(berlin(at), BERLIN) is None) is is_open


@pytest.mark.parametrize(
    ("written", "after", "opens"),
    [
        pytest.param(OFFICE, "2026-11-23 07:00", "2026-11-23 09:00", id="today"),
        pytest.param(OFFICE, "2026-11-26 17:00", "2026-11-30 09:00", id="after the weekend"),
        pytest.param({**OFFICE, "freezes": [YEAR_END]}, "2026-12-18 10:00", "2027-01-04 09:00", id="after the freeze"),
        pytest.param(
            {"time_zone": "Europe/Berlin", "freezes": [YEAR_END]},
            "2026-12-25 12:00",
            "2027-01-04 00:00",
            id="at the midnight that ends a freeze",
        ),
        pytest.param(
            {**NIGHT, "freezes": [{"first": "2026-11-27", "last": "2026-11-27", "why": "sale"}]},
            "2026-11-27 12:00",
            "2026-11-28 00:00",
            id="in the middle of a night whose evening was frozen",
        ),
        pytest.param(
            {"time_zone": "Europe/Berlin", "hours": "02:30-02:45"},
            "2026-03-28 12:00",
            "2026-03-30 02:30",
            id="not in an hour that the clocks skip",
        ),
        pytest.param(OFFICE, "2026-11-23 10:00", "2026-11-23 10:00", id="now, where it is open"),
    ],
)
def test_the_next_opening_is_the_first_time_at_which_promotion_is_allowed(
    written: dict[str, object], after: str, opens: str
) -> None:
    assert windows(written).next_opening(berlin(after), BERLIN) == berlin(opens)


def test_an_hour_is_the_local_one_on_both_sides_of_a_clock_change() -> None:
    office = windows(OFFICE, weekdays=WEEKDAYS)

    assert office.next_opening(berlin("2026-10-24 20:00"), BERLIN) == datetime(2026, 10, 25, 8, tzinfo=UTC)
    assert office.next_opening(berlin("2026-10-23 20:00"), BERLIN) == datetime(2026, 10, 24, 7, tzinfo=UTC)


@given(
    at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001  (hypothesis adds the zone)
    days=st.sets(st.sampled_from(WEEKDAYS), min_size=1),
    hours=st.sampled_from(["09:00-16:00", "22:00-04:00", "00:00-24:00", "23:30-00:30"]),
)
def test_whatever_the_time_the_next_opening_is_open_and_not_before_it(at: datetime, days: set[str], hours: str) -> None:
    chosen = windows(OFFICE, weekdays=sorted(days), hours=hours, freezes=[YEAR_END])
    opening = chosen.next_opening(at, BERLIN)

    assert chosen.why_closed(opening, BERLIN) is None
    assert opening >= at


def test_why_it_is_closed_names_the_freeze_or_the_hours() -> None:
    frozen = windows(OFFICE, freezes=[YEAR_END])

    assert frozen.why_closed(berlin("2026-12-24 10:00"), BERLIN) == "frozen until the end of 2027-01-03: year end"
    assert frozen.why_closed(berlin("2026-11-27 10:00"), BERLIN) == (
        "the window for promotion is 09:00-16:00, mon, tue, wed, thu (Europe/Berlin)"
    )


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("hours", "9-17", "should match pattern"),
        ("hours", "09:00-09:00", "begin and end alike"),
        ("weekdays", [], "at least 1 item"),
        ("weekdays", ["monday"], "'mon', 'tue'"),
        ("freezes", [{**YEAR_END, "last": "2026-12-01"}], "not before the first"),
        ("freezes", [{**YEAR_END, "first": 20261221}], "a day is written 2026-12-24"),
    ],
)
def test_windows_that_mean_nothing_cannot_be_built(field: str, value: object, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        windows(OFFICE, **{field: value})
