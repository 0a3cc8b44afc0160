"""A seed says everything that is drawn about a run."""

from chaos.scenario import LONGEST_OUTAGE_SECONDS, PARTS, STRUCK_WITHIN_SECONDS, drawn

SEEDS = range(200)


def test_a_seed_repeats_its_run() -> None:
    assert [drawn(seed) for seed in SEEDS] == [drawn(seed) for seed in SEEDS]


def test_seeds_that_follow_each_other_are_different_runs() -> None:
    assert len({drawn(seed).in_words() for seed in SEEDS}) == len(SEEDS)


def test_every_part_is_struck_in_rollouts_that_complete_and_in_those_taken_back() -> None:
    for taken_back in (True, False):
        scenarios = [drawn(seed) for seed in SEEDS if (drawn(seed).emergency_at is not None) is taken_back]

        assert {blow.part for scenario in scenarios for blow in scenario.blows} == set(PARTS)


def test_no_part_is_struck_again_while_it_is_down_and_none_outside_its_time() -> None:
    for seed in SEEDS:
        blows = drawn(seed).blows

        assert 1 <= len({blow.part for blow in blows}) == len(blows)
        assert all(0 <= blow.at <= STRUCK_WITHIN_SECONDS and blow.down <= LONGEST_OUTAGE_SECONDS for blow in blows)


def test_a_pause_is_followed_by_its_end() -> None:
    assert all(drawn(seed).pause_at < drawn(seed).resume_at for seed in SEEDS)
