"""More stories than every day has time for: `python -m pytest tests/workflows/whole_model.py`.

Other ones each time; `--hypothesis-seed=N` tells the same ones. A script that fails is made short by leaving out
stories, steps and faults for as long as it still fails, which takes some minutes, and is printed, together with the
line (`@reproduce_failure`) that runs it again.
"""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.workflows.model_run import told
from tests.workflows.model_script import Script, scripts

WORLDS = 12
MANY = settings(
    max_examples=WORLDS,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

pytestmark = pytest.mark.timeout(7200)


@MANY
@given(scripts(stories=(10, 12), steps=(3, 10)))
def test_whatever_comes_in_whatever_order_exposure_rises_only_as_allowed_and_ends_in_safety(script: Script) -> None:
    told(script)


@MANY
@given(scripts(stories=(1, 2), steps=(1, 6)))
def test_a_rollout_almost_by_itself_keeps_the_same_promises_and_makes_the_shortest_stories(script: Script) -> None:
    told(script)
