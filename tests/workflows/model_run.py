"""Stories beside each other in one world, round by round, while things outside go wrong and are mended again.

Everything is drawn from one seed, which a failure names together with each story that failed, step by step.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from tests.workflows.many_rollouts import Land, land_for
from tests.workflows.model_story import Story
from tests.workflows.outside_faults import EVERY_FAULT, EVERYTHING_AT_ONCE

STEP_SECONDS = 100.0
NEVER_ENDING = ("everything hangs", "Monitoring does not answer")
"""A question that never ends is given up by its watch after two minutes, more than a story's rounds may take."""
FAULTS = {name: fault for name, fault in (EVERYTHING_AT_ONCE | EVERY_FAULT).items() if name not in NEVER_ENDING}


class Stories:
    def __init__(self, land: Land, seed: int, names: list[str], directory: Path) -> None:
        self._land = land
        self._random = Random(seed)  # noqa: S311  (a story, no secret)
        self._stories = [Story(land, name, seed, directory) for name in names]
        self._wrong: str | None = None
        self._failed: list[str] = []

    async def tell(self, rounds: int) -> None:
        await self._each(Story.begin)
        for number in range(rounds):
            self._weather()
            for story in self._stories:
                story.told.append(f"round {number}, {self._wrong or 'nothing wrong'}:")
            ends = 1.0 if number == rounds - 1 else 0.15 if number >= rounds // 2 else 0.0
            await self._each(self._one_round(ends))
        self._mend()
        await self._each(Story.end)

    def problems(self) -> list[str]:
        return self._failed

    def _one_round(self, ends: float) -> Callable[[Story], Awaitable[None]]:
        """With this chance a story comes to its own ending in it."""
        calm = self._wrong is None
        ending = {story.name for story in self._stories if self._random.random() < ends}

        async def one_round(story: Story) -> None:
            if calm:
                # What was wrong may have left something that goes on.
                await story.settle()
            if story.taken_back or story.name not in ending:
                await story.step(calm=calm)
            else:
                await story.take_back()
            if calm:
                await story.settle()

        return one_round

    def _weather(self) -> None:
        """As often bad as not, and never for long."""
        was_bad = self._wrong is not None
        self._mend()
        if not was_bad and self._random.random() < 0.6:
            self._wrong = self._random.choice(sorted(FAULTS))
            FAULTS[self._wrong].strike(self._land)

    def _mend(self) -> None:
        if self._wrong is not None:
            FAULTS[self._wrong].lift(self._land)
        self._wrong = None

    async def _each(self, step: Callable[[Story], Awaitable[None]]) -> None:
        outcomes = await asyncio.gather(*(_bounded(step(story)) for story in self._stories), return_exceptions=True)
        for story, outcome in list(zip(self._stories, outcomes, strict=True)):
            if outcome is not None:
                self._failed.append("\n  ".join([f"{story.name}: {outcome!r}", *story.told]))
                self._stories.remove(story)


async def _bounded(step: Awaitable[None]) -> None:
    async with asyncio.timeout(STEP_SECONDS):
        await step


async def stories_told(*, seed: int, directory: Path, rollouts: int, rounds: int) -> None:
    """So many rollouts, each with a story of its own; what failed in any of them is told at once."""
    names = [f"story-{number}" for number in range(rollouts)]
    async with land_for(names, directory) as land:
        stories = Stories(land, seed, names, directory)
        await stories.tell(rounds)
        problems = "\n".join(stories.problems())
        assert not problems, f"seed {seed}, {rollouts} rollouts, {rounds} rounds\n{problems}"
