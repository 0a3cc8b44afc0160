"""Every state, every command there, everything that can be wrong outside: the way back is open and ends in safety.

And what is wrong outside only delays what a command leads to: the command has its answer, and once nothing is wrong any
more its outcome. One world for each fault; in it all the cells beside each other, each a rollout of its own.
`matrix_cells` says which cells there are, and which cannot be. Here everything outside is wrong in one way at a time;
each system by itself, and every command under it, by `python -m pytest tests/workflows/whole_matrix.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rollout.commands import CommandName
from rollout.progress import RolloutStatus
from tests.workflows.many_rollouts import Land, land_for
from tests.workflows.matrix_cells import LASTING, LEADS_TO, MEETS_SOMEBODY, STATES, taken_in
from tests.workflows.matrix_checks import FAULTS_OF, HANGS
from tests.workflows.matrix_rollout import Cell, MatrixRollout, WayBack
from tests.workflows.outside_faults import EVERYTHING_AT_ONCE, OutsideFault

pytestmark = pytest.mark.timeout(400)
WAYS_BACK: tuple[WayBack, ...] = ("emergency", "cancellation")
EACH_COMMAND_ONCE = [
    *(Cell(RolloutStatus.SOAKING, command) for command in taken_in(RolloutStatus.SOAKING)),
    Cell(RolloutStatus.HOLDING, CommandName.RESOLVE_HOLD),
    Cell(RolloutStatus.PAUSED, CommandName.RESUME),
    Cell(RolloutStatus.AWAITING_APPROVAL, CommandName.APPROVE),
    Cell(RolloutStatus.WATCHING, CommandName.FINISH),
]
BESIDE_A_CHECK = [
    Cell(RolloutStatus.ENTERING, CommandName.SET_STAGE, check="endpoint"),
    Cell(RolloutStatus.ENTERING, CommandName.PAUSE, check="secret"),
    Cell(RolloutStatus.ENTERING, "emergency", check="load"),
    Cell(RolloutStatus.SOAKING, CommandName.STEP_BACK, check="afterwards"),
    Cell(RolloutStatus.SOAKING, "cancellation", check="deadman"),
]
EVERYTHING_HANGS = "everything hangs"
STEP_SECONDS = 240.0
"""So that one cell that stands still is told by its name."""
BEGUN_AT_ONCE = 4
"""A workflow's first task loads its code: on a busy machine more of them at once do not end within Temporal's ten
seconds for a task, and begin anew. What they deploy then comes one after the other too."""


def cells_under(fault: OutsideFault, *, whole: bool) -> list[Cell]:
    """An emergency in every state, and all that leads to calls outside while a stage soaks; whole: in every state."""
    return [
        Cell(state, then)
        for state in (STATES if fault.keeps_rollbacks else LASTING)
        for then in (*taken_in(state), *WAYS_BACK)
        if then == "emergency"
        or ((whole or state is RolloutStatus.SOAKING) and (then in WAYS_BACK or then in MEETS_SOMEBODY))
    ]


def test_the_matrix_says_where_every_command_leads_that_is_taken_in_a_lasting_state() -> None:
    taken = {(state, command) for state in LASTING for command in taken_in(state)}

    assert set(LEADS_TO) == taken


def test_what_faults_delay_is_seen_every_day_for_each_command() -> None:
    assert {cell.then for cell in EACH_COMMAND_ONCE} == set(CommandName)


def test_the_matrix_has_every_state_in_which_a_rollout_can_be_asked_for_anything() -> None:
    assert set(STATES) == set(RolloutStatus) - {RolloutStatus.COMPLETED, RolloutStatus.REFUSED}


async def _bounded(step: Awaitable[None], room: asyncio.Semaphore) -> None:
    async with room, asyncio.timeout(STEP_SECONDS):
        await step


class BesideEachOther:
    """All cells of one world, step by step. One that fails a step takes no more of them; the others go on."""

    def __init__(self, rollouts: Sequence[MatrixRollout]) -> None:
        self._rollouts = list(rollouts)
        self.problems: list[str] = []

    async def each(
        self, step: Callable[[MatrixRollout], Awaitable[None]], *states: RolloutStatus, at_once: int | None = None
    ) -> None:
        """Take a step with every rollout, or with those in these states; with so many at a time, or with all."""
        room = asyncio.Semaphore(at_once or len(self._rollouts) or 1)
        taking = [rollout for rollout in self._rollouts if not states or rollout.cell.state in states]
        outcomes = await asyncio.gather(*(_bounded(step(rollout), room) for rollout in taking), return_exceptions=True)
        for rollout, outcome in zip(taking, outcomes, strict=True):
            if outcome is not None:
                self.problems.append(f"{rollout.cell.name}: {outcome!r}")
                self._rollouts.remove(rollout)


@asynccontextmanager
async def laid_out_cells(
    cells: Sequence[Cell], directory: Path, wrong: Sequence[OutsideFault] = ()
) -> AsyncIterator[tuple[Land, BesideEachOther]]:
    """Every cell's rollout in its state. What goes wrong with any of them is told at the end, for all at once.

    What is `wrong` outside is so from the beginning: it must not keep them from their state.
    """
    async with land_for([cell.name for cell in cells], directory) as land:
        for fault in wrong:
            fault.strike(land)
        beside = BesideEachOther([MatrixRollout(land, cell) for cell in cells])
        await beside.each(MatrixRollout.begin, at_once=BEGUN_AT_ONCE)
        await beside.each(MatrixRollout.bring_about)
        yield land, beside
        problems = "\n".join(beside.problems)
        assert not problems, problems


async def taken_back_under(
    wrong: OutsideFault, cells: Sequence[Cell], directory: Path, before: Sequence[OutsideFault] = ()
) -> None:
    async with laid_out_cells(cells, directory, before) as (land, beside):
        wrong.strike(land)
        await beside.each(MatrixRollout.begin_rolling_back, RolloutStatus.ROLLING_BACK)
        await beside.each(MatrixRollout.ask_what_is_refused)
        await beside.each(MatrixRollout.give)

        await beside.each(MatrixRollout.be_taken_back)
        wrong.lift(land)

        await beside.each(MatrixRollout.end)


async def outlasting(wrong: OutsideFault, cells: Sequence[Cell], directory: Path) -> None:
    """Commands given while something is wrong outside, which then ends."""
    async with laid_out_cells(cells, directory) as (land, beside):
        wrong.strike(land)
        await beside.each(MatrixRollout.ask_what_is_refused)
        await beside.each(MatrixRollout.give)
        await beside.each(MatrixRollout.be_answered_at_once)
        wrong.lift(land)

        await beside.each(MatrixRollout.be_answered)
        await beside.each(MatrixRollout.follow)

        await beside.each(MatrixRollout.be_taken_back)
        await beside.each(MatrixRollout.end)


@pytest.mark.parametrize("fault", [fault for fault in EVERYTHING_AT_ONCE if fault != EVERYTHING_HANGS])
async def test_from_every_state_everything_is_taken_back_whatever_was_asked_for_and_is_wrong_outside(
    tmp_path: Path, fault: str
) -> None:
    wrong = EVERYTHING_AT_ONCE[fault]
    await taken_back_under(wrong, cells_under(wrong, whole=False), tmp_path)


async def taken_back_during_checks(wrong: Sequence[OutsideFault], cells: Sequence[Cell], directory: Path) -> None:
    """What is wrong with the checks lasts until everything is safe; no rollback has to do with it."""
    async with laid_out_cells(cells, directory, wrong) as (land, beside):
        await beside.each(MatrixRollout.ask_what_is_refused)
        await beside.each(MatrixRollout.give)
        await beside.each(MatrixRollout.be_answered)

        await beside.each(MatrixRollout.be_taken_back)
        await beside.each(MatrixRollout.end)

        for fault in wrong:
            fault.lift(land)


async def test_when_everything_hangs_checks_that_hung_before_do_not_keep_anything_from_being_taken_back(
    tmp_path: Path,
) -> None:
    """From every state as above, and beside a check of each kind; all of them in every way: `whole_matrix`."""
    wrong = EVERYTHING_AT_ONCE[EVERYTHING_HANGS]
    hung_before = [FAULTS_OF[check][HANGS] for check in ("endpoint", "secret", "load")]
    await taken_back_under(wrong, [*cells_under(wrong, whole=False), *BESIDE_A_CHECK], tmp_path, hung_before)


async def test_every_command_has_its_answer_while_nothing_is_acknowledged_and_its_outcome_afterwards(
    tmp_path: Path,
) -> None:
    await outlasting(EVERYTHING_AT_ONCE["everything is done and nothing acknowledged"], EACH_COMMAND_ONCE, tmp_path)
