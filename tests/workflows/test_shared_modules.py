"""Rollouts of one worker share the modules of their workflow: none pays for its own, and none sees another's."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TypeVar

from rollout.messages import SIGNAL_EMERGENCY
from rollout.progress import RolloutStatus
from tests.workflows.many_rollouts import SOON, land_for
from tests.workflows.small_plans import IN_CANARY, plan_of

NAMES = ("one-of-three", "two-of-three", "three-of-three")
A_LOOK = SOON


def copies_of_the_workflow() -> dict[int, ModuleType]:
    """Its modules as often as they are in memory, by identity; those that nobody holds any more are not among them."""
    gc.collect()
    # By `type`: proxies of the SDK, which lie about in memory, do not answer for their class.
    modules = [each for each in gc.get_objects() if type(each) is ModuleType]
    return {id(module): module for module in modules if module.__name__ == "workflows.stages"}


def what_modules_keep() -> Iterator[tuple[str, str]]:
    """Everything in the workflow's modules and classes that is a value and not code, in words."""
    for module in [each for name, each in sys.modules.items() if name.partition(".")[0] == "workflows"]:
        for name, value in vars(module).items():
            if name.startswith("__") or isinstance(value, ModuleType | FunctionType | TypeVar):
                continue
            if isinstance(value, type) and value.__module__ == module.__name__:
                yield from ((f"{module.__name__}.{name}.{key}", repr(held)) for key, held in vars(value).items())
            elif not isinstance(value, type):
                yield f"{module.__name__}.{name}", repr(value)


async def test_three_rollouts_share_their_modules_and_leave_nothing_in_them(tmp_path: Path) -> None:
    async with land_for(NAMES, tmp_path) as land:
        # Held until the end: a copy that a test before this one left behind may not make room for one of these.
        copies, kept = copies_of_the_workflow(), dict(what_modules_keep())
        worlds = [land.world(plan_of(name, IN_CANARY)) for name in NAMES]
        handles = [await world.start() for world in worlds]
        for world, handle in zip(worlds, handles, strict=True):
            await world.until(handle, RolloutStatus.SOAKING, stage="canary", step=A_LOOK)

        await handles[0].signal(SIGNAL_EMERGENCY, {"by": "kim", "reason": "only this one"})
        await worlds[0].until(handles[0], RolloutStatus.ROLLED_BACK, step=A_LOOK)

        others = [await world.progress(handle) for world, handle in zip(worlds[1:], handles[1:], strict=True)]
        assert [progress.status for progress in others] == [RolloutStatus.SOAKING] * 2
        assert copies_of_the_workflow().keys() <= copies.keys()
        assert dict(what_modules_keep()) == kept
