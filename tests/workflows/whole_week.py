"""The shipped seven-day plan with all of its ten thousand looks: `python -m pytest tests/workflows/whole_week.py`."""

from pathlib import Path

import pytest

from tests.workflows.shipped_plans import shipped
from tests.workflows.test_seven_days import passes_all_five_stages


@pytest.mark.timeout(600)
async def test_the_seven_day_plan_passes_all_five_stages_within_its_history_budget(tmp_path: Path) -> None:
    await passes_all_five_stages(shipped("request-isolation.yaml"), tmp_path)
