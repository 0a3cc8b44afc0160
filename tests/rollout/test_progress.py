"""Records that an earlier version of the worker wrote are read by this one."""

import pytest

from rollout.progress import RolloutProgress
from tests.rollout.progress_samples import in_canary


@pytest.mark.parametrize(
    ("recorded", "read"), [(None, ()), ("canary", ("canary",)), (["canary", "staged"], ("canary", "staged"))]
)
def test_the_stages_that_were_stepped_back_from_are_read_as_one_name_or_as_many(
    recorded: object, read: tuple[str, ...]
) -> None:
    record = {**in_canary().model_dump(mode="json"), "stepped_back_from": recorded}

    assert RolloutProgress.model_validate(record).stepped_back_from == read
