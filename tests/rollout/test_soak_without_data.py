"""Minutes without anybody, without data, or with data of another form: never a pass by that, and never a failure."""

from rollout.measurement import Histogram
from rollout.verdict import Lack, Verdict
from tests.rollout.samples import counts, latencies
from tests.rollout.soaked_gates import (
    ERRORS,
    EVENTS,
    ISOLATION,
    P95,
    Minute,
    control,
    first,
    healthy,
    merged,
    soaked,
    timings,
    treated,
    verdicts,
)


def test_silence_is_unknown_and_a_healthy_source_without_treated_users_is_idle() -> None:
    _, judged = soaked(ERRORS, [healthy(), None, control(counts(900))])

    assert [judgement.verdict for judgement in judged] == [Verdict.PASS, Verdict.UNKNOWN, Verdict.IDLE]
    assert judged[1].lack is Lack.DATA


def test_an_idle_night_is_no_missing_data() -> None:
    _, judged = soaked(ERRORS, [healthy(), *[control(counts(900))] * 300, healthy()])

    assert {judgement.verdict for judgement in judged[1:-1]} == {Verdict.IDLE}
    assert judged[-1].verdict is Verdict.PASS


def test_an_idle_night_teaches_how_control_errors_come_together_and_nothing_else() -> None:
    before, _ = soaked(ERRORS, [healthy()] * 30)
    bursts = [control(counts(10_800, 360 if number % 7 == 0 else 0)) for number in range(300)]

    after, _ = soaked(ERRORS, [*[healthy()] * 30, *bursts])

    (known,), (learnt,) = before.states["g"].keys, after.states["g"].keys
    assert learnt.dispersion.burst > known.dispersion.burst
    assert learnt.model_copy(update={"dispersion": known.dispersion}) == known


def test_idleness_does_not_hide_a_suspicion() -> None:
    _, judged = soaked(ERRORS, [*[healthy(bad=8)] * 600, control(counts(900))])

    assert judged[-1].verdict is Verdict.SUSPECT


def test_a_sample_that_is_still_too_small_is_unknown_and_the_whole_soak_makes_it_up() -> None:
    _, judged = soaked(ISOLATION, [treated(counts(20))] * 8)

    assert [judgement.lack for judgement in judged] == [Lack.SAMPLE] * 4 + [Lack.NOTHING] * 4


def test_a_metric_that_changed_its_type_is_an_error_and_leaves_the_evidence_alone() -> None:
    before, _ = soaked(ISOLATION, [treated(counts(1_000))] * 3)
    after, judged = soaked(ISOLATION, [*[treated(counts(1_000))] * 3, treated(latencies(1_000, 50.0))])

    assert judged[-1].verdict is Verdict.ERROR
    assert after.states == before.states


def test_new_bucket_edges_are_judged_from_the_minute_they_came() -> None:
    other = Histogram(bounds=(1.0, 100.0, 200.0), counts=(0, 990, 10, 0), sum=1.0)

    _, judged = soaked(EVENTS, [treated(latencies(1_000, 20.0)), treated(other)])

    assert [judgement.verdict for judgement in judged] == [Verdict.PASS, Verdict.PASS]


def test_new_bucket_edges_leave_a_suspicion_standing_and_what_passes_is_shown_again() -> None:
    def minute(treated_ms: float, edges: slice) -> Minute:
        slow, usual = latencies(1_200, treated_ms), latencies(10_800, 50.0)
        return {"treated": merged(slow, edges), "control": merged(usual, edges)}

    suspicious = [minute(52.0, slice(None))] * 600
    _, before = soaked(P95, suspicious)
    assert before[-1].verdict is Verdict.SUSPECT

    after = verdicts(P95, [*suspicious, *[minute(52.0, slice(None, None, 2))] * 30])
    assert after[600:] == [Verdict.SUSPECT] * 30

    healthy_then = verdicts(P95, [*[minute(50.0, slice(None))] * 30, *[minute(50.0, slice(None, None, 2))] * 5])
    assert healthy_then[29:] == [Verdict.PASS, Verdict.UNKNOWN, *[Verdict.PASS] * 4]


def test_two_edges_are_too_few_for_a_p95_and_it_says_so_in_words() -> None:
    coarse = Histogram(bounds=(50.0, 100.0), counts=(900, 90, 10), sum=1.0)
    _, judged = soaked(P95, [{"treated": coarse, "control": coarse}])

    assert judged[-1].verdict is Verdict.ERROR
    assert judged[-1].reason == (
        "Errors: 2 bucket edges tell too little of a p95, 3 are needed; data until 12:01, 2 min old"
    )


def test_latencies_that_all_lie_above_the_last_bucket_edge_never_pass() -> None:
    found = soaked(P95, first(timings(50_000.0, control_ms=50_000.0), 30))[1]

    assert {judgement.verdict for judgement in found} == {Verdict.UNKNOWN}
    assert "nearly all requests of control lie above the last edge" in found[-1].reason
