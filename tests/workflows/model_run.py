"""Stories beside each other in one world, round by round, while things outside go wrong and are mended again."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.workflows.many_rollouts import Land, land_for
from tests.workflows.model_script import FAULTS, Script
from tests.workflows.model_story import Story

STEP_SECONDS = 100.0


class Stories:
    def __init__(self, land: Land, script: Script) -> None:
        self._land = land
        self._script = script
        self._stories = [Story(land, name, story) for name, story in zip(names_of(script), script.stories, strict=True)]
        self._wrong: str | None = None
        self.failed: list[str] = []

    async def tell(self) -> None:
        await self._each(Story.begin)
        for number in range(self._script.rounds):
            self._change_weather(number)
            for story in self._stories:
                story.told.append(f"round {number}, {self._wrong or 'nothing wrong'}:")
            await self._each(self._one_round(number))
        self._mend()
        await self._each(Story.end)

    def _one_round(self, number: int) -> Callable[[Story], Awaitable[None]]:
        calm = self._wrong is None

        async def one_round(story: Story) -> None:
            if calm:
                # What was wrong may have left something that goes on.
                await story.settle()
            await story.step(number, calm=calm)
            if calm:
                await story.settle()

        return one_round

    def _change_weather(self, number: int) -> None:
        """Never bad twice in a row: what is wrong for long keeps everything from moving."""
        was_bad = self._wrong is not None
        self._mend()
        if not was_bad and number < len(self._script.weather) and (wrong := self._script.weather[number]) is not None:
            self._wrong = wrong
            FAULTS[wrong].strike(self._land)

    def _mend(self) -> None:
        if self._wrong is not None:
            FAULTS[self._wrong].lift(self._land)
        self._wrong = None

    async def _each(self, step: Callable[[Story], Awaitable[None]]) -> None:
        outcomes = await asyncio.gather(*(_bounded(step(story)) for story in self._stories), return_exceptions=True)
        for story, outcome in list(zip(self._stories, outcomes, strict=True)):
            if outcome is not None:
                self.failed.append("\n  ".join([f"{story.name}: {outcome!r}", *story.told]))
                self._stories.remove(story)


async def _bounded(step: Awaitable[None]) -> None:
    async with asyncio.timeout(STEP_SECONDS):
        await step


def names_of(script: Script) -> list[str]:
    return [f"story-{number}" for number in range(len(script.stories))]


def told(script: Script) -> None:
    """Every story of a script in a world of its own; what failed in any of them is told at once, step by step."""
    asyncio.run(_told(script))


async def _told(script: Script) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with land_for(names_of(script), Path(directory)) as land:
            stories = Stories(land, script)
            await stories.tell()
            problems = "\n".join(stories.failed)
            assert not problems, problems
