"""Rollouts that commands and faults come upon as a seed draws them: whatever comes, what is promised holds.

After every step: no flag exposes anybody once a latch was seen; nothing rises by a rollback; exposure rises only where
the model in `rollout_model` says that credit, a promotion or an approval allows it; what is refused is refused by the
table of `rollout/commands.py`. At the end of each, under whatever is wrong, it is taken back, and is safe once nothing
is wrong any more. Longer: `python -m pytest tests/workflows/whole_model.py`.
"""

from pathlib import Path

from tests.workflows.model_run import stories_told


async def test_whatever_comes_in_whatever_order_exposure_rises_only_as_allowed_and_ends_in_safety(
    tmp_path: Path,
) -> None:
    await stories_told(seed=1, directory=tmp_path, rollouts=6, rounds=5)
