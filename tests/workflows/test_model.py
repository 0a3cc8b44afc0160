"""Rollouts that commands and faults come upon in any order: whatever comes, what is promised holds.

After every step: no flag exposes anybody once a latch was seen; nothing rises by a rollback; exposure rises only where
the model in `rollout_model` says that credit, a promotion or an approval allows it; what is refused is refused by the
table of `rollout/commands.py`. At the end of each, under whatever is wrong, it is taken back, and is safe once nothing
is wrong any more.

The same few scripts every time, and none of them made shorter when it fails, for which there is no time here. Many, and
the failing ones made short: `python -m pytest tests/workflows/whole_model.py`.
"""

from hypothesis import HealthCheck, Phase, given, settings

from tests.workflows.model_run import told
from tests.workflows.model_script import Script, scripts


@settings(
    derandomize=True,
    max_examples=2,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(scripts(stories=(1, 6), steps=(1, 4)))
def test_whatever_comes_in_whatever_order_exposure_rises_only_as_allowed_and_ends_in_safety(script: Script) -> None:
    told(script)
