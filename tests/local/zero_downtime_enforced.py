"""Zero downtime where Cloud Run refuses stale etags and a second update during a first.

Not for every day: `python -m pytest tests/local/zero_downtime_enforced.py`, or `make test-all`.
"""

import pytest

from tests.local import test_zero_downtime as usual
from tests.local.test_zero_downtime import observer, stack, url, users

__all__ = ["observer", "stack", "url", "users"]

pytestmark = usual.pytestmark


@pytest.fixture(scope="module")
def profile() -> tuple[str, str]:
    return "enforce", "abort"


test_a_rollout = usual.test_a_rollout_to_everybody_loses_nothing_and_at_every_stage_the_shares_are_what_it_says
test_a_rollback_by_a_gate = usual.test_a_rollback_by_a_gate_that_saw_a_real_fault_loses_nothing
test_an_emergency_rollback = usual.test_an_emergency_rollback_in_the_middle_of_a_traffic_move_loses_nothing
