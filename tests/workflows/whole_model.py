"""More stories than every day has time for: `python -m pytest tests/workflows/whole_model.py`.

Each seed is a world of its own; a seed that failed is told again by `-k "[7]"`.
"""

from pathlib import Path

import pytest

from tests.workflows.model_run import stories_told

SEEDS = range(2, 22)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_comes_in_whatever_order_exposure_rises_only_as_allowed_and_ends_in_safety(
    tmp_path: Path, seed: int
) -> None:
    await stories_told(seed=seed, directory=tmp_path, rollouts=12, rounds=16)
