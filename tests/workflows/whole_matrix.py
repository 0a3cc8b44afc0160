"""The whole matrix, too long for every day: `python -m pytest tests/workflows/whole_matrix.py`."""

from pathlib import Path

import pytest

from tests.workflows.matrix_cells import LASTING, taken_in
from tests.workflows.matrix_rollout import Cell, MatrixRollout
from tests.workflows.outside_faults import EVERY_FAULT, EVERYTHING_AT_ONCE
from tests.workflows.test_matrix import WAYS_BACK, laid_out_cells, taken_back_under

pytestmark = pytest.mark.timeout(600)
CELLS = [Cell(state, then) for state in LASTING for then in (*taken_in(state), *WAYS_BACK)]
FAULTS = EVERYTHING_AT_ONCE | EVERY_FAULT


async def test_every_command_in_every_state_leads_where_it_should_and_from_there_everything_is_taken_back(
    tmp_path: Path,
) -> None:
    async with laid_out_cells(CELLS, tmp_path) as (_, beside):
        await beside.each(MatrixRollout.ask_what_is_refused)
        await beside.each(MatrixRollout.give)
        await beside.each(MatrixRollout.be_answered)
        await beside.each(MatrixRollout.follow)

        await beside.each(MatrixRollout.be_taken_back)

        await beside.each(MatrixRollout.end)


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_by_itself_keeps_nothing_from_being_taken_back_in_any_cell(tmp_path: Path, fault: str) -> None:
    await taken_back_under(FAULTS[fault], tmp_path, whole=True)
