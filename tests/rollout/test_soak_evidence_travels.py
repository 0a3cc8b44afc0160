"""Evidence depends on neither who looks nor when, and goes on from stage to stage."""

from datetime import timedelta

from rollout.interval_judgement import judge_interval
from rollout.soak_evidence import SoakEvidence, of_soak
from rollout.verdict import Judgement, Verdict
from rollout.watch import BoundGate
from tests.rollout.samples import MINUTE, NOON
from tests.rollout.soaked_gates import ERRORS, P95, SOAK, UNEVEN, answered, first, healthy, soaked, timings


def test_evidence_survives_being_written_and_read_at_any_minute() -> None:
    whole, judged = soaked(P95, first(timings(53.0), 90))
    evidence: SoakEvidence | None = None
    answers = answered(first(timings(53.0), 90), at=NOON)
    last: dict[str, Judgement] = {}
    for number in range(1, 91):
        read = of_soak(evidence, SOAK.since, ["g"])
        last, evidence = judge_interval({"g": BoundGate(gate=P95)}, answers, NOON + number * MINUTE, SOAK, read)
        evidence = SoakEvidence.model_validate_json(evidence.model_dump_json())

    assert evidence == whole
    assert last["g"].verdict is judged[-1].verdict


def test_data_that_arrive_late_are_weighed_once() -> None:
    whole, _ = soaked(ERRORS, UNEVEN)
    late, _ = soaked(ERRORS, [None if 20 <= number < 30 else groups for number, groups in enumerate(UNEVEN)])
    answers = answered(UNEVEN, at=NOON + timedelta(hours=3))

    for _ in range(2):
        for number in range(21, 31):
            judged, late = judge_interval({"g": BoundGate(gate=ERRORS)}, answers, NOON + number * MINUTE, SOAK, late)

    assert judged["g"].verdict is Verdict.PASS
    assert late.states["g"].keys[0].total == whole.states["g"].keys[0].total


def test_the_next_stage_goes_on_with_the_evidence_but_not_with_the_sample() -> None:
    canary, judged = soaked(ERRORS, UNEVEN)

    staged = of_soak(canary, NOON + timedelta(hours=2), ["g", "new"])

    assert judged[-1].conclusive
    assert staged.states["g"].keys[0].harm == canary.states["g"].keys[0].harm
    assert staged.states["g"].keys[0].total == 0
    assert of_soak(staged, staged.since, ["g"]) is staged


def test_what_a_person_went_on_with_all_the_same_is_not_held_against_the_next_stage() -> None:
    suspect, _ = soaked(ERRORS, [healthy(bad=8)] * 600)

    assert of_soak(suspect, NOON + timedelta(hours=12), ["g"]).states == {}


def test_evidence_that_would_not_have_held_yet_goes_on_into_the_next_stage() -> None:
    canary, judged = soaked(ERRORS, [*[healthy()] * 60, *[healthy(bad=16)] * 3, healthy(bad=14)])
    state = canary.states["g"]

    assert judged[-1].verdict is Verdict.PASS
    assert 300 < state.harm_odds < state.hold_needed
    assert of_soak(canary, NOON + timedelta(hours=2), ["g"]).states["g"].harm_odds == state.harm_odds
