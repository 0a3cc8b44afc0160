# ruff: noqa: S311  (seeded data for tests, no secrets)
"""Streams as others write them: at their own pace, from any moment on, with nobody in them; and why it decides so."""

import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from rollout.gates import judge_stream
from rollout.verdict import Verdict
from tests.rollout.streams import (
    ERRORS,
    NONE_AT_ALL,
    NOON,
    P95,
    SCORE,
    THRESHOLD,
    WIDE,
    Interval,
    first_rollback,
    latencies,
    traffic,
)


class TestAnyPace:
    @pytest.mark.parametrize("seconds", [1, 5, 10, 15, 20, 30, 60, 300, 3600])
    def test_every_interval_counts_whatever_their_length_and_whether_or_not_it_is_said(self, seconds: int) -> None:
        intervals = list(traffic(200, seconds=seconds))
        unsaid = list(judge_stream(ERRORS, intervals))
        said = list(judge_stream({**ERRORS, "interval": f"{seconds}s"}, intervals))

        assert not [one.reason for one in unsaid if one.verdict is Verdict.IDLE]
        assert [one.verdict for one in unsaid] == [one.verdict for one in said]
        assert unsaid[-1].reason.endswith(said[-1].reason.rpartition("; ")[2])

    def test_a_length_that_shows_later_is_taken_then(self) -> None:
        whole = list(traffic(300, seconds=10, excess=0.05))
        with_holes = [*whole[:5:2], *whole[5:]]

        found = list(judge_stream(ERRORS, with_holes))
        assert not [one for one in found if one.verdict is Verdict.IDLE]

    @pytest.mark.parametrize("seconds", [2.5, 7.5, 10])
    def test_none_is_left_out_where_ends_are_no_whole_seconds_or_tremble(self, seconds: float) -> None:
        source = random.Random(3)
        trembling = [
            {
                **one,
                "end": (NOON + timedelta(seconds=seconds * index + source.uniform(-0.05, 0.05))).isoformat(),
            }
            for index, one in enumerate(traffic(120, seconds=10))
        ]
        assert not [one.reason for one in judge_stream(ERRORS, trembling) if one.verdict is Verdict.IDLE]

    def test_one_that_comes_too_close_does_not_make_a_missing_minute_a_silence(self) -> None:
        minutes = list(traffic(60))
        stray = {**minutes[20], "end": (NOON + timedelta(minutes=20, seconds=1)).isoformat()}

        minutes[40] = {"end": minutes[40]["end"]}

        found = list(judge_stream(ERRORS, [*minutes[:21], stray, *minutes[21:]]))
        assert {one.decision for one in found} <= {"continue", "advance"}

    def test_at_a_shorter_pace_too_what_ended_just_before_the_first_is_taken(self) -> None:
        whole = list(traffic(60, seconds=10))
        found = list(judge_stream(ERRORS, [whole[2], whole[1], whole[0], *whole[3:]]))
        assert not [one.reason for one in found if one.verdict is Verdict.IDLE]

    def test_a_regression_in_ten_second_intervals_is_found_within_minutes(self) -> None:
        found = first_rollback(ERRORS, list(traffic(120, seconds=10, excess=0.05)))
        assert found is not None
        assert found <= 30

    def test_a_judgement_comes_out_before_the_next_interval_is_taken_in(self) -> None:
        taken: list[int] = []

        def source() -> Iterator[Interval]:
            for number, interval in enumerate(traffic(5)):
                taken.append(number)
                yield interval

        judged = judge_stream(ERRORS, source())
        for number in range(5):
            next(judged)
            assert taken == list(range(number + 1))


class TestAnyMoment:
    @pytest.mark.parametrize(
        "written",
        [
            lambda end: end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            lambda end: end.strftime("%Y-%m-%dT%H:%M:%S.123Z"),
            lambda end: end.strftime("%Y-%m-%dT%H:%M:%S.123456789Z"),
            lambda end: end.astimezone(timezone(timedelta(hours=end.minute % 25 - 12))).isoformat(),
            lambda end: end.strftime("%Y-%m-%d %H:%M:%S+00:00"),
        ],
        ids=["Z", "milliseconds", "nanoseconds", "another offset each minute", "a space"],
    )
    def test_ends_are_the_same_moments_however_they_are_written(self, written: Callable[[datetime], str]) -> None:
        plain = list(traffic(120, excess=0.02))
        other = [{**one, "end": written(datetime.fromisoformat(one["end"]))} for one in plain]

        assert [one.evidence for one in judge_stream(ERRORS, other)] == [
            one.evidence for one in judge_stream(ERRORS, plain)
        ]

    def test_what_ends_before_the_first_that_came_is_judged_when_it_comes(self) -> None:
        """A stream backwards holds the same evidence; nothing of it is left out."""
        backwards = list(judge_stream(ERRORS, reversed(list(traffic(200)))))
        forwards = list(judge_stream(ERRORS, traffic(200)))

        assert backwards[-1].verdict is Verdict.PASS
        assert backwards[-1].reason.rpartition("; ")[0].endswith(forwards[-1].reason.rpartition("; ")[0][-40:])

    def test_an_event_that_must_not_happen_fails_the_gate_although_it_ends_before_the_first_that_came(self) -> None:
        def at(minute: int, bad: int) -> Interval:
            return {
                "end": (NOON + timedelta(minutes=minute)).isoformat(),
                "treated": {"total": 9, "bad": bad},
            }

        assert first_rollback(NONE_AT_ALL, [at(1, 0), at(2, 0), at(0, 1)]) == 2

    def test_the_first_interval_again_is_no_earlier_one(self) -> None:
        first, *others = traffic(3)
        (*_, again) = judge_stream(ERRORS, [first, *others, first])
        assert again.verdict is Verdict.IDLE
        assert "was judged" in again.reason


class TestNobody:
    def at(self, minute: int, treated: int | None, control: int | None) -> Interval:
        groups = {"treated": treated, "control": control}
        counted = {name: {"total": total, "bad": 0} for name, total in groups.items() if total is not None}
        return {"end": (NOON + timedelta(minutes=minute)).isoformat(), **counted}

    def test_a_night_without_treated_users_is_idle_and_not_silence(self) -> None:
        night = [self.at(minute, 0, 900) for minute in range(10, 60)]
        found = list(judge_stream(ERRORS, [*traffic(10), *night]))

        assert {(one.verdict, one.decision) for one in found[10:]} == {(Verdict.IDLE, "continue")}

    @pytest.mark.parametrize(("treated", "control"), [(None, None), (None, 900), (100, None), (100, 0), (0, 0)])
    def test_where_a_group_is_missing_or_there_is_no_control_the_gate_holds(
        self, treated: int | None, control: int | None
    ) -> None:
        found = list(judge_stream(ERRORS, [self.at(minute, treated, control) for minute in range(12)]))

        assert (found[-1].verdict, found[-1].decision) == (Verdict.UNKNOWN, "hold")
        assert not {"advance", "rollback"} & {one.decision for one in found}

    @pytest.mark.parametrize(
        ("treated", "control", "verdict", "said"),
        [
            (None, None, Verdict.UNKNOWN, "no data of the treated group in this interval"),
            (None, 900, Verdict.UNKNOWN, "no data of the treated group in this interval"),
            (100, None, Verdict.UNKNOWN, "no data of the control group in this interval, to compare with"),
            (100, 0, Verdict.UNKNOWN, "nobody in the control group in this interval, to compare with"),
            (0, 0, Verdict.UNKNOWN, "nobody in this interval, in control neither"),
            (0, 900, Verdict.IDLE, "nobody to judge in this interval"),
        ],
    )
    def test_whose_data_are_missing_is_said_at_once_and_is_not_taken_for_a_healthy_source(
        self, treated: int | None, control: int | None, verdict: Verdict, said: str
    ) -> None:
        (*_, last) = judge_stream(ERRORS, [*traffic(10), self.at(10, treated, control)])

        assert (last.verdict, last.decision, last.reason) == (verdict, "continue", f"error rate: {said}")

    @pytest.mark.parametrize(
        ("seconds", "said", "missing", "told"),
        [(10, {}, 6, "1m"), (60, {}, 7, "7m"), (600, {}, 1, "10m"), (600, {"interval": "10m"}, 6, "1h")],
    )
    def test_how_long_there_are_no_data_is_told_in_time_whatever_the_length_of_an_interval(
        self, seconds: int, said: dict[str, str], missing: int, told: str
    ) -> None:
        silent = [{"end": one["end"]} for one in traffic(20 + missing, seconds=seconds)][20:]
        (*_, last) = judge_stream({**ERRORS, **said}, [*traffic(20, seconds=seconds), *silent])

        assert last.reason == f"error rate: no data for {told}, and silence is not health"

    @pytest.mark.parametrize(
        ("before", "distances", "told"),
        [(10, [60] * 20, "20m"), (60, [60] * 3 + [10] * 18, "6m"), (60, [600] + [10] * 30, "15m")],
        ids=["longer ones", "shorter ones", "a gap and shorter ones"],
    )
    def test_how_long_there_are_no_data_is_told_in_time_where_intervals_change_their_length_meanwhile(
        self, before: int, distances: list[int], told: str
    ) -> None:
        heard = list(traffic(20, seconds=before))
        last = datetime.fromisoformat(heard[-1]["end"])
        ends = [last + timedelta(seconds=sum(distances[: count + 1])) for count in range(len(distances))]
        (*_, silent) = judge_stream(ERRORS, [*heard, *({"end": end.isoformat()} for end in ends)])

        assert silent.decision == "hold"
        assert silent.reason == f"error rate: no data for {told}, and silence is not health"

    def test_how_long_there_were_never_any_data_is_told_in_time_too(self) -> None:
        silent = [{"end": (NOON + timedelta(seconds=10 * number)).isoformat()} for number in range(12)]
        (*_, last) = judge_stream(ERRORS, silent)

        assert last.reason == "error rate: no data for 2m, and silence is not health"

    def test_that_nobody_was_there_some_time_ago_ends_no_silence_of_now(self) -> None:
        silent = [self.at(minute, None, None) for minute in range(8)]
        (*_, before, after) = judge_stream(ERRORS, [*silent, self.at(2, 0, 900)])
        assert (before.decision, after.decision) == ("hold", "hold")

    def test_what_was_measured_some_time_ago_and_comes_late_ends_no_silence_of_now(self) -> None:
        silent = [self.at(minute, None, None) for minute in range(9) if minute != 2]
        (*_, before, after) = judge_stream(ERRORS, [*silent, self.at(2, 100, 900)])
        assert (before.decision, after.decision) == ("hold", "hold")


@pytest.mark.parametrize("sizes", [(10, 100_000), (100_000, 10)], ids=["treated", "control"])
def test_a_group_of_one_in_ten_thousand_is_judged_on_for_hours(sizes: tuple[int, int]) -> None:
    source = random.Random(1)
    of_both = ([size * source.uniform(0.8, 1.2) for size in sizes] for _ in range(600))
    intervals = [
        {
            "end": (NOON + timedelta(minutes=minute)).isoformat(),
            "treated": {"total": round(treated), "bad": source.randrange(3) if treated > control else 0},
            "control": {"total": round(control), "bad": source.randrange(3) if control > treated else 0},
        }
        for minute, (treated, control) in enumerate(of_both)
    ]
    assert {one.decision for one in judge_stream(ERRORS, intervals)} <= {"continue", "advance"}


class TestReasons:
    def test_a_rollback_after_a_day_begins_with_what_has_been_measured_since_it_became_worse(self) -> None:
        (*_, last) = judge_stream(ERRORS, traffic(1860, excess=0.02, onset=1800))

        assert last.decision == "rollback"
        recent, whole = last.reason.split("; in all ")
        assert recent.startswith("error rate: since 17:59 ")
        assert 1.5 < float(recent.split("+")[1].split(" points")[0]) < 3
        assert "limit +1.00" in whole

    @pytest.mark.parametrize(
        ("gate", "groups"),
        [
            (THRESHOLD, lambda worse: {"treated": {"total": 100, "bad": 5 if worse else 0}}),
            (SCORE, lambda worse: {"treated": {"score": 0.98 if worse else 0.999, "total": 50}}),
        ],
        ids=["a threshold", "a score"],
    )
    def test_so_does_one_without_a_control(self, gate: dict[str, Any], groups: Callable[[bool], Interval]) -> None:
        ends = [(NOON + timedelta(minutes=minute)).isoformat() for minute in range(660)]
        (*_, last) = judge_stream(gate, [{"end": end, **groups(index >= 600)} for index, end in enumerate(ends)])

        assert last.decision == "rollback"
        assert last.reason.startswith(("gate: since 21:59 5.000 % bad", "gate: since 21:59 mean score 98.000 %"))

    def test_an_interval_that_comes_again_is_not_since_when_it_is_worse(self) -> None:
        whole = list(traffic(160, excess=0.05, onset=120))
        (*_, last) = judge_stream(ERRORS, [*whole[:120], whole[5], *whole[120:]])
        assert last.reason.startswith("error rate: since 13:59 ")

    def test_a_hold_beyond_what_is_tolerated_says_which_odds_are_missing(self) -> None:
        found = list(judge_stream(ERRORS, traffic(150, excess=0.04, onset=120)))
        told = [one for one in found if one.decision == "hold" and one.evidence.beyond >= one.evidence.beyond_needed]

        assert told[0].evidence.harm < told[0].evidence.harm_needed
        assert re.search(r"; worse, but not yet beyond doubt \([\d,]+ to 1 so far, 3,000 are needed\)$", told[0].reason)

    def test_what_is_too_little_for_a_pass_says_so_and_of_what_it_is_that_many(self) -> None:
        few = {"end": NOON.isoformat(), "treated": {"total": 200, "bad": 1}}
        (judged,) = judge_stream(THRESHOLD, [few])
        assert judged.verdict is Verdict.UNKNOWN
        assert judged.reason.endswith(
            "limit 1 %; 200 observations; fewer observations than the 1,000 that a pass needs"
        )

    def test_one_that_was_worse_from_the_start_says_so_of_the_whole(self) -> None:
        (*_, last) = judge_stream(ERRORS, traffic(30, excess=0.10))
        assert last.decision == "rollback"
        assert "since" not in last.reason

    @pytest.mark.parametrize("rate", [0.05, 0.3, 0.997])
    @pytest.mark.parametrize("seed", [1, 2])
    def test_an_incident_that_hits_both_groups_holds_nothing(self, rate: float, seed: int) -> None:
        found = [one.decision for one in judge_stream(ERRORS, traffic(300, both=rate, onset=120, seed=seed))]
        assert not {"hold", "rollback"} & {*found}

    def test_each_judgement_is_a_line_of_strict_json(self) -> None:
        for gate, intervals in ((ERRORS, traffic(300, excess=0.5, onset=100)), (P95, latencies(60, lambda _: WIDE))):
            for judgement in judge_stream(gate, intervals):
                written = json.loads(judgement.model_dump_json(), parse_constant=pytest.fail)
                assert [*written] == ["decision", "verdict", "evidence", "interval", "reason"]
                assert min(written["evidence"].values()) >= 0
