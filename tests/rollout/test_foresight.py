"""What a watch remembers of its gates is of the gates that it is asked about."""

from rollout.foresight import Foresight
from rollout.gates import VersusControlGate
from rollout.watch import BoundGate
from tests.rollout.samples import MINUTE


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
