"""The world that most tests of a whole rollout are about; who needs another one has a fixture of that name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.workflows.changed_plans import hurried
from tests.workflows.world import World, laid_out


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """For the shipped plan, with stages of half an hour, on the server that skips time."""
    async with laid_out(hurried(), tmp_path) as laid:
        yield laid
