"""Uniform and independent, with the statistics stated. Ids are fixed, so a result is the same in every run.

Limits: a share within four standard deviations; chi-square over 100 buckets inside its central 99.98 %; the
correlation of two flags' 10 % sets within four standard deviations of 0 (1/sqrt(n) for independent sets).
"""

import itertools
import math
import uuid

import pytest

from rollout.flags import BASIS_POINTS, HASH_SPACE, threshold, user_hash
from tests.rollout.flag_samples import FLAGS

COUNT = 100_000
BUCKETS = 100
CANARY_BP = 1_000
SIGMAS = 4.0
# Quantiles of chi-square with 99 degrees of freedom.
CHI_SQUARE_AT_0_0001 = 54.4
CHI_SQUARE_AT_0_9999 = 161.3

IDS = {
    "uuids": [str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128))) for number in range(COUNT)],
    "integers": [str(number) for number in range(COUNT)],
    "addresses": [f"person.{number}@customer{number % 977}.example" for number in range(COUNT)],
}


@pytest.fixture(scope="module", params=list(IDS))
def places(request: pytest.FixtureRequest) -> dict[str, list[int]]:
    """Where each id stands, by flag."""
    return {flag: [user_hash(flag, user) for user in IDS[request.param]] for flag in FLAGS}


def test_a_share_of_users_is_that_share(places: dict[str, list[int]]) -> None:
    for stands in places.values():
        for bp in (100, CANARY_BP, 5_000):
            share, expected = sum(place < threshold(bp) for place in stands) / COUNT, bp / BASIS_POINTS
            assert abs(share - expected) < SIGMAS * math.sqrt(expected * (1 - expected) / COUNT)


def test_users_fill_all_buckets_evenly(places: dict[str, list[int]]) -> None:
    for stands in places.values():
        counts = [0] * BUCKETS
        for place in stands:
            counts[place * BUCKETS // HASH_SPACE] += 1
        expected = COUNT / BUCKETS
        chi_square = sum((count - expected) ** 2 / expected for count in counts)
        assert CHI_SQUARE_AT_0_0001 < chi_square < CHI_SQUARE_AT_0_9999


def test_being_treated_by_one_flag_says_nothing_about_another(places: dict[str, list[int]]) -> None:
    limit, share = threshold(CANARY_BP), CANARY_BP / BASIS_POINTS
    for one, other in itertools.combinations(FLAGS, 2):
        pairs = zip(places[one], places[other], strict=True)
        both = sum(first < limit and second < limit for first, second in pairs) / COUNT
        correlation = (both - share * share) / (share * (1 - share))
        assert abs(correlation) < SIGMAS / math.sqrt(COUNT)
