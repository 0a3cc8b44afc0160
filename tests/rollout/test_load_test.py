import pytest

from loadtest.tally import FURTHER_ERRORS, MOST_BREACHES, MOST_ERRORS, Tally
from rollout.load_test import LoadReport, LoadTest, broken_limits, in_a_line

ASKED = "GET /work"
URL = "http://127.0.0.1:1"


def a_test(**wanted: object) -> LoadTest:
    return LoadTest.model_validate({"urls": [URL], "concurrent_users": 3, "duration": "10s", **wanted})


def met(tally: Tally) -> LoadReport:
    return tally.report(elapsed_seconds=10.0, users=3, final=True)


@pytest.fixture
def tally() -> Tally:
    """Twenty good requests of 1 to 20 ms."""
    counted = Tally([ASKED])
    for milliseconds in range(1, 21):
        counted.request(ASKED, milliseconds, None)
    return counted


def test_percentiles_are_whole_milliseconds_and_never_flattered(tally: Tally) -> None:
    tally.request(ASKED, 20.01, None)
    (figures,) = met(tally).kinds

    assert (figures.p50_ms, figures.p95_ms, figures.p99_ms) == (11, 20, 21)


def test_what_keeps_every_limit_passes(tally: Tally) -> None:
    assert broken_limits(a_test(max_p95="19ms"), met(tally)) == []


def test_an_error_rate_is_broken_beyond_its_limit_and_not_at_it(tally: Tally) -> None:
    tally.broke(ASKED, "500 Internal Server Error")

    assert broken_limits(a_test(max_error_rate="5%"), met(tally)) == []
    assert broken_limits(a_test(max_error_rate="4.9%"), met(tally)) == [
        "errors: 1 of 20 failed (5.00%), at most 4.9% may: 500 Internal Server Error (1)"
    ]


def test_a_kind_of_traffic_that_nothing_answered_is_no_pass() -> None:
    assert broken_limits(a_test(), met(Tally([ASKED]))) == [f"{ASKED}: nothing was answered"]


def test_an_answer_with_anothers_data_breaks_isolation_and_names_user_and_owner(tally: Tally) -> None:
    for owner in ("ann", "bob", "bob"):
        tally.carried(owner, user="ann", url=URL)

    assert broken_limits(a_test(), met(tally)) == []
    assert broken_limits(a_test(monitor_isolation=True), met(tally)) == [
        "isolation: 1 user was served another user's data, 2 times: ann (2, first bob's)"
    ]


def test_isolation_that_could_not_be_seen_is_no_pass(tally: Tally) -> None:
    watching = a_test(monitor_isolation=True)
    assert broken_limits(watching, met(tally)) == ["isolation: no answer could be checked"]

    tally.carried("ann", user="ann", url=URL)
    tally.carried(None, user="bob", url=URL)
    assert broken_limits(watching, met(tally)) == ["isolation: 1 answer did not say whose data was carried"]


def test_events_that_nobody_received_or_that_are_missing_are_no_pass(tally: Tally) -> None:
    mixed = a_test(mixed_traffic=True, max_lost_events=1)
    assert broken_limits(mixed, met(tally)) == ["events: nobody received any"]

    tally.events, tally.events_lost = 9, 1
    assert broken_limits(mixed, met(tally)) == []
    tally.events_lost = 2
    assert broken_limits(mixed, met(tally)) == ["events: 2 lost beside 9 received, at most 1 may be"]


def test_a_report_stays_small_whatever_happens_and_counts_everything() -> None:
    tally = Tally([ASKED])
    for number in range(1000):
        tally.request(ASKED, 1.0, f"error {number} {'x' * 1000}")
        tally.carried("somebody else", user=f"user-{number}", url=URL)
    report = met(tally)

    assert sum(report.errors.values()) == 1000
    assert len(report.errors) == MOST_ERRORS + 1
    assert report.errors[FURTHER_ERRORS] == 1000 - MOST_ERRORS
    assert (len(report.breaches), report.users_breached, report.violations) == (MOST_BREACHES, 1000, 1000)
    assert len(report.model_dump_json()) < 64 * 1024


def test_where_it_stands_fits_in_a_line(tally: Tally) -> None:
    assert in_a_line(a_test(monitor_isolation=True), met(tally)) == (
        "10s of 10s, 3 users, 2.0 requests/s, 0.00% errors, p95 19 ms, 0 isolation violations"
    )
