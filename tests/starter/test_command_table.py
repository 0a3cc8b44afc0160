"""What the documentation says of commands is what the workflow does."""

import inspect

import pytest

from rollout.commands import CommandName, refusal
from rollout.progress import RolloutStatus
from starter.command_table import BEGIN, END, table
from tests.checkout import CHECKOUT
from workflows.canary_rollout import CanaryRolloutWorkflow

OPERATING = CHECKOUT / "docs" / "operating.md"


def test_the_table_in_the_documentation_is_the_one_that_the_validators_read() -> None:
    written = OPERATING.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()

    assert written == table(), "write it anew: python -m starter.command_table"


def test_every_command_of_the_table_is_an_update_of_the_workflow_with_a_validator() -> None:
    updates = {
        update.name: update
        for _, member in inspect.getmembers(CanaryRolloutWorkflow)
        if (update := getattr(member, "_defn", None)) is not None
    }

    any_other = {None}
    assert set(updates) == {command.value for command in CommandName} | any_other
    assert all(update.validator is not None for update in updates.values())


@pytest.mark.parametrize("status", [status for status in RolloutStatus if status.is_final])
def test_nothing_goes_forward_in_a_rollout_that_has_ended(status: RolloutStatus) -> None:
    allowed = {command for command in CommandName if refusal(command, status) is None}

    assert allowed <= {CommandName.FINISH}
