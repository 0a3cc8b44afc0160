import itertools
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from rollout import flags
from rollout.flags import (
    BASIS_POINTS,
    HASH_SPACE,
    OFF,
    Audience,
    Exposure,
    FlagSnapshot,
    evaluate,
    threshold,
    user_hash,
)
from tests.rollout.flag_samples import CANARY, DOMAIN, FLAGS, FULL, INTERNAL, STAGED, snapshot_of

HALF_OF_A_SURROGATE_PAIR = "\ud800"
USERS = [f"user-{number}" for number in range(2_000)]

ANYBODY = st.one_of(
    st.none(),
    st.just(""),
    st.just("boss"),
    st.text(max_size=20),
    st.text(alphabet=st.characters(categories=["Cs", "L"]), max_size=5),
)
ANY_ADDRESS = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.builds(
        lambda local, at, domain, end: local + at + domain + end,
        st.text(max_size=3),
        st.sampled_from(["@", "@@", "@x@", ""]),
        st.sampled_from([DOMAIN, DOMAIN.upper(), f"evil-{DOMAIN}", f"{DOMAIN}.evil.com", "münchen.example"]),
        st.sampled_from(["", ".", "..", " "]),
    ),
)
ANY_EXPOSURE = st.one_of(
    st.sampled_from([OFF, INTERNAL, CANARY, STAGED, FULL]),
    st.integers(1, BASIS_POINTS).map(lambda bp: Exposure(exposure="percent", bp=bp, stage="some")),
)


def enabled(snapshot: FlagSnapshot, users: Sequence[str], flag: str = FLAGS[0]) -> set[str]:
    return {user for user in users if evaluate(snapshot, flag, user).enabled}


@pytest.mark.parametrize(
    ("flag", "user", "place", "bucket"),
    [
        ("request_isolation", "user-1", 0xD0F05D97611AEB2D, 8161),
        ("factory_pattern", "user-1", 0x04754CD615A8D8CA, 174),
        ("websocket_isolation", "ü-42", 0x62887EF80AA8BE1E, 3848),
    ],
)
def test_a_user_stands_where_the_published_vectors_say(flag: str, user: str, place: int, bucket: int) -> None:
    assert user_hash(flag, user) == place
    assert evaluate(snapshot_of(CANARY), flag, user).bucket == bucket


@given(bp=st.integers(0, BASIS_POINTS))
def test_a_threshold_is_the_exact_share_of_the_hash_space_rounded_down(bp: int) -> None:
    assert threshold(bp) * BASIS_POINTS <= bp * HASH_SPACE < (threshold(bp) + 1) * BASIS_POINTS


def test_whoever_is_in_at_a_share_stays_in_at_every_larger_one() -> None:
    shares = [Exposure(exposure="percent", bp=bp, stage="some") for bp in (1, 10, 100, 999, 1_000, 2_500, 9_999)]
    sets = [enabled(snapshot_of(share), USERS) for share in [INTERNAL, *shares, FULL]]

    assert all(smaller <= larger for smaller, larger in itertools.pairwise(sets))
    assert sets[0] == set()
    assert sets[-1] == set(USERS)


@pytest.mark.parametrize("exposure", [INTERNAL, CANARY, STAGED, FULL])
def test_internal_people_stay_in_at_every_exposure_above_off(exposure: Exposure) -> None:
    snapshot = snapshot_of(exposure, users=("boss",))

    for user in USERS[:50]:
        assert evaluate(snapshot, FLAGS[0], user, f"{user}@{DOMAIN}").enabled
    assert evaluate(snapshot, FLAGS[0], "boss").reason == "AUDIENCE"


@pytest.mark.parametrize(
    ("snapshot", "flag", "user", "reason"),
    [
        (snapshot_of(OFF), FLAGS[0], "user-1", "DISABLED"),
        (snapshot_of(FULL, latch=True), FLAGS[0], "user-1", "LATCHED"),
        (snapshot_of(FULL, latch=True), "no_such_flag", "user-1", "LATCHED"),
        (snapshot_of(FULL), "no_such_flag", "user-1", "UNKNOWN_FLAG"),
        (snapshot_of(FULL), FLAGS[0], None, "NO_USER_KEY"),
        (snapshot_of(FULL), FLAGS[0], "", "NO_USER_KEY"),
        (snapshot_of(FULL), FLAGS[0], HALF_OF_A_SURROGATE_PAIR, "BAD_USER_KEY"),
    ],
)
def test_what_cannot_be_decided_or_is_switched_off_is_off_with_its_reason(
    snapshot: FlagSnapshot, flag: str, user: str | None, reason: str
) -> None:
    found = evaluate(snapshot, flag, user)

    assert (found.enabled, found.reason, found.bucket) == (False, reason, None)


def test_flags_of_one_cohort_reach_the_same_users_and_others_do_not() -> None:
    with_cohort, without = snapshot_of(CANARY, cohort="request_isolation"), snapshot_of(CANARY)

    together = [enabled(with_cohort, USERS, flag) for flag in FLAGS]
    apart = [enabled(without, USERS, flag) for flag in FLAGS]

    assert together[0] == together[1] == together[2] == apart[0]
    assert apart[0] != apart[1] != apart[2]


@example(exposure=INTERNAL, latch=False, user=None, email=f"@@{DOMAIN}")
@given(exposure=ANY_EXPOSURE, latch=st.booleans(), user=ANYBODY, email=ANY_ADDRESS)
def test_the_compiled_form_answers_as_the_plain_one(
    exposure: Exposure, latch: bool, user: str | None, email: str | None
) -> None:
    snapshot = snapshot_of(exposure, latch=latch, domains=(DOMAIN, "münchen.example"), users=("boss",))
    compiled = flags.compile(snapshot)

    for flag in (*FLAGS, "no_such_flag"):
        assert compiled.is_enabled(flag, user, email) == evaluate(snapshot, flag, user, email).enabled


def test_processes_with_other_hash_seeds_agree_on_every_user() -> None:
    program = (
        "from rollout.flags import user_hash\n"
        "print([user_hash('request_isolation', f'user-{number}') for number in range(50)])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "random")
    }

    assert answers == {f"{[user_hash('request_isolation', f'user-{number}') for number in range(50)]}\n"}


@pytest.mark.parametrize(
    ("exposure", "bp"), [("percent", 0), ("off", 1), ("audience", 100), ("percent", 10_001), ("percent", -1)]
)
def test_an_exposure_that_contradicts_itself_is_refused(exposure: str, bp: int) -> None:
    with pytest.raises(ValidationError, match=r"basis points|equal to 10000|greater than or equal to 0"):
        Exposure.model_validate({"exposure": exposure, "bp": bp, "stage": "some"})


@pytest.mark.parametrize("domain", ["", "@example.com", "kim@example.com"])
def test_an_audience_of_something_that_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(ValidationError, match=r"is no e-mail domain such as example\.com"):
        Audience(domains=(domain,))


def test_exposures_are_ordered_by_how_many_people_they_reach() -> None:
    orders = [exposure.order for exposure in (OFF, INTERNAL, CANARY, STAGED, FULL)]

    assert orders == sorted(set(orders))
