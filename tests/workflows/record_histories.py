"""Record the histories that `test_replay` holds the workflow to: `python -m tests.workflows.record_histories`.

Run it once for a story that is new, in `recorded_stories` or `recorded_in_real_time`. A file that exists is history in
both senses: a change of the workflow that breaks it needs `workflow.patched`, and a newly recorded file beside the old
one, under a name of its own.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
from base64 import b64decode
from pathlib import Path

from temporalio.client import WorkflowHistory

from tests.workflows.many_rollouts import one_rollout
from tests.workflows.recorded_in_real_time import REAL_STORIES, RealStory
from tests.workflows.recorded_stories import PLANS_OF_THEIR_OWN, STORIES, Story
from tests.workflows.small_plans import plan_of
from tests.workflows.world import laid_out

HISTORIES = Path(__file__).parent / "histories"


async def record(name: str, story: Story, directory: Path) -> None:
    async with laid_out("rehearsal.yaml", directory) as world:
        if name in PLANS_OF_THEIR_OWN:
            world.plan = PLANS_OF_THEIR_OWN[name](world.plan, await world.now())
        handle = await world.start()
        await story(world, handle)
        await handle.result()
        keep(name, await handle.fetch_history())


async def record_in_real_time(name: str, story: RealStory, directory: Path) -> None:
    plan = story.change(plan_of(name, story.shape))
    async with one_rollout(plan, directory, *story.server_options, worked_by=story.worked_by) as (land, world):
        handle = await story.tell(land, world)
        keep(name, await handle.fetch_history(), patch=story.patch)


def patches_of(history: str) -> set[str]:
    """The names in the markers of a history."""
    markers = [event.get("markerRecordedEventAttributes", {}) for event in json.loads(history)["events"]]
    data = [marker["details"]["patch-data"]["payloads"][0]["data"] for marker in markers if marker]
    return {json.loads(b64decode(one))["id"] for one in data}


def keep(name: str, history: WorkflowHistory, patch: str | None = None) -> None:
    """Write it down, where it has what it was recorded for."""
    if patch is not None and patch not in patches_of(history.to_json()):
        raise SystemExit(f"{name}: what {patch} is about did not happen; record it again")
    # Where a failure came from names paths of this machine, and decides nothing.
    recorded = re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', history.to_json())
    (HISTORIES / f"{name}.json").write_text(recorded + "\n", encoding="utf-8")
    sys.stdout.write(f"{name}: {len(history.events)} events\n")


async def main() -> None:
    missing = {*STORIES, *REAL_STORIES} - {path.stem for path in HISTORIES.glob("*.json")}
    for name in sorted(missing):
        with tempfile.TemporaryDirectory() as directory:
            if name in STORIES:
                await record(name, STORIES[name], Path(directory))
            else:
                await record_in_real_time(name, REAL_STORIES[name], Path(directory))


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
