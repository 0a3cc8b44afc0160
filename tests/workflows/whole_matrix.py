"""The whole matrix, too long for every day: `python -m pytest tests/workflows/whole_matrix.py`."""

from pathlib import Path

import pytest

from rollout.progress import RolloutStatus
from tests.workflows.matrix_cells import LASTING, taken_in
from tests.workflows.matrix_checks import FAILS, FAULTS_OF, HANGS, UNACKNOWLEDGED
from tests.workflows.matrix_rollout import Cell, MatrixRollout
from tests.workflows.outside_faults import EVERY_FAULT, EVERYTHING_AT_ONCE
from tests.workflows.test_matrix import (
    WAYS_BACK,
    cells_under,
    laid_out_cells,
    outlasting,
    taken_back_during_checks,
    taken_back_under,
)

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
    await taken_back_under(FAULTS[fault], cells_under(FAULTS[fault], whole=True), tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
async def test_under_every_fault_every_command_has_its_answer_and_once_the_fault_ends_its_outcome(
    tmp_path: Path, fault: str
) -> None:
    await outlasting(FAULTS[fault], COMMANDS, tmp_path)


def during(check: str, state: RolloutStatus = RolloutStatus.ENTERING) -> list[Cell]:
    """Every command that is taken there."""
    return [Cell(state, command, check) for command in taken_in(state)]


@pytest.mark.parametrize("way", [HANGS, FAILS, UNACKNOWLEDGED])
async def test_whatever_is_wrong_with_a_check_commands_have_their_answer_and_everything_is_taken_back_meanwhile(
    tmp_path: Path, way: str
) -> None:
    checks = ("endpoint", "secret", "load")
    cells = [cell for check in checks for cell in during(check)]
    cells += [Cell(RolloutStatus.ENTERING, back, check) for check in checks for back in WAYS_BACK]
    cells += during("afterwards", RolloutStatus.SOAKING)
    cells += [Cell(RolloutStatus.SOAKING, back, "afterwards") for back in WAYS_BACK]
    await taken_back_during_checks([FAULTS_OF[check][way] for check in checks], cells, tmp_path)


@pytest.mark.parametrize("way", [HANGS, FAILS, UNACKNOWLEDGED])
async def test_once_a_check_is_answered_its_stage_goes_on_as_commanded_meanwhile(tmp_path: Path, way: str) -> None:
    checks = ("endpoint", "secret")
    wrong = [FAULTS_OF[check][way] for check in checks]
    cells = [cell for check in checks for cell in during(check)] + during("afterwards", RolloutStatus.SOAKING)
    async with laid_out_cells(cells, tmp_path, wrong) as (land, beside):
        await beside.each(MatrixRollout.ask_what_is_refused)
        await beside.each(MatrixRollout.give)
        await beside.each(MatrixRollout.be_answered)
        for fault in wrong:
            fault.lift(land)

        await beside.each(MatrixRollout.follow)

        await beside.each(MatrixRollout.be_taken_back)
        await beside.each(MatrixRollout.end)


@pytest.mark.parametrize("way", [HANGS, FAILS, UNACKNOWLEDGED])
async def test_a_load_test_whose_users_have_no_answers_takes_the_rollout_back_whatever_was_commanded_meanwhile(
    tmp_path: Path, way: str
) -> None:
    wrong = FAULTS_OF["short-load"][way]
    async with laid_out_cells(during("short-load"), tmp_path, [wrong]) as (land, beside):
        await beside.each(MatrixRollout.give)
        await beside.each(MatrixRollout.be_answered)

        await beside.each(MatrixRollout.end_by_itself)

        wrong.lift(land)


async def test_a_load_test_that_passes_lets_its_stage_go_on_as_commanded_meanwhile(tmp_path: Path) -> None:
    async with laid_out_cells(during("short-load"), tmp_path) as (_, beside):
        await beside.each(MatrixRollout.give)
        await beside.each(MatrixRollout.be_answered)
        await beside.each(MatrixRollout.follow)

        await beside.each(MatrixRollout.be_taken_back)
        await beside.each(MatrixRollout.end)


@pytest.mark.parametrize("way", FAULTS_OF["deadman"])
async def test_whatever_keeps_the_dead_man_from_its_work_everything_is_taken_back(tmp_path: Path, way: str) -> None:
    cells = during("deadman", RolloutStatus.SOAKING)
    cells += [Cell(RolloutStatus.SOAKING, back, "deadman") for back in WAYS_BACK]
    await taken_back_under(FAULTS_OF["deadman"][way], cells, tmp_path)


@pytest.mark.parametrize("way", FAULTS_OF["deadman"])
async def test_beside_a_dead_man_every_command_has_its_answer_and_once_it_works_again_its_outcome(
    tmp_path: Path, way: str
) -> None:
    await outlasting(FAULTS_OF["deadman"][way], during("deadman", RolloutStatus.SOAKING), tmp_path)
