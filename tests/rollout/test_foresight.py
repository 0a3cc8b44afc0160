"""What a watch remembers of its gates is of the gates that it is asked about."""

from weakref import ref

from rollout.foresight import Foresight
from rollout.gates import VersusControlGate
from rollout.interval_series import IntervalSeries
from rollout.verdict import Judgement, Verdict
from rollout.watch import BoundGate
from tests.rollout.samples import MINUTE, NOON


def allowing(points: str) -> BoundGate:
    gate = VersusControlGate.model_validate(
        {
            "kind": "versus_control",
            "title": "Errors",
            "metric": "requests",
            "group": "treated",
            "statistic": "bad_share",
            "max_difference": points,
            "window": "10m",
            "minimum_sample": 100,
            "action": "rollback",
            "page_after": "30m",
        }
    )
    return BoundGate(gate=gate)


def test_a_gate_that_was_changed_under_its_name_or_is_asked_for_other_intervals_asks_anew() -> None:
    foresight = Foresight()
    strict, mild = allowing("1%"), allowing("2%")
    asked = [foresight.question("errors", *of) for of in ((strict, MINUTE), (mild, MINUTE), (mild, 2 * MINUTE))]
    assert [(each.asks.max_difference, each.asks.interval) for each in asked if each is not None] == [
        (0.01, MINUTE),
        (0.02, MINUTE),
        (0.02, 2 * MINUTE),
    ]


def test_a_series_is_known_again_and_not_kept_for_it() -> None:
    foresight, series = Foresight(), IntervalSeries()
    said = Judgement(gate="errors", verdict=Verdict.PASS, reason="none; 2 min old", as_of=NOON)
    foresight.remember("errors", (series,), None, None, said, "2 min old")

    assert foresight.recall("errors", NOON, (series,), None, "2 min old") == (None, said)
    assert foresight.recall("errors", NOON, (IntervalSeries(),), None, "2 min old") is None
    kept = ref(series)
    del series
    assert kept() is None
    assert foresight.recall("errors", NOON, (IntervalSeries(),), None, "2 min old") is None
