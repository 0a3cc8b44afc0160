"""The whole matrix, too long for every day: `python -m pytest tests/workflows/whole_matrix.py`."""

from pathlib import Path

import pytest

from tests.workflows.matrix_cells import LASTING, taken_in
from tests.workflows.matrix_rollout import Cell, MatrixRollout
from tests.workflows.outside_faults import EVERY_FAULT, EVERYTHING_AT_ONCE
from tests.workflows.test_matrix import WAYS_BACK, laid_out_cells, outlasting, taken_back_under

pytestmark = pytest.mark.timeout(900)
COMMANDS = [Cell(state, command) for state in LASTING for command in taken_in(state)]
CELLS = [*COMMANDS, *(Cell(state, back) for state in LASTING for back in WAYS_BACK)]
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
async def test_no_fault_keeps_anything_from_being_taken_back_in_any_cell(tmp_path: Path, fault: str) -> None:
    await taken_back_under(FAULTS[fault], tmp_path, whole=True)


@pytest.mark.parametrize("fault", FAULTS)
async def test_under_every_fault_every_command_has_its_answer_and_once_the_fault_ends_its_outcome(
    tmp_path: Path, fault: str
) -> None:
    await outlasting(FAULTS[fault], COMMANDS, tmp_path)
