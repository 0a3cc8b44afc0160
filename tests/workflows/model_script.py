"""What is drawn for the stories of the model: who does what, round by round, and what is wrong outside meanwhile.

A script is a value, so that Hypothesis can draw it, make a failing one short, and print it as what to run again.
"""

from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

from tests.workflows.outside_faults import EVERY_FAULT, EVERYTHING_AT_ONCE
from tests.workflows.rollout_model import CANARY, DARK, STAGED

NEVER_ENDING = ("everything hangs", "Monitoring does not answer")
"""A question that never ends is given up by its watch after two minutes, more than a story's rounds may take."""
FAULTS = {name: fault for name, fault in (EVERYTHING_AT_ONCE | EVERY_FAULT).items() if name not in NEVER_ENDING}

Ending = Literal["emergency", "a misspelt signal", "cancellation", "the kill switch in the store"]
ENDINGS: tuple[Ending, ...] = ("emergency", "a misspelt signal", "cancellation", "the kill switch in the store")
Does = Literal["a command that is taken", "a command that is refused", "the metric changes"]
DOES: tuple[Does, ...] = ("a command that is taken",) * 8 + ("a command that is refused", "the metric changes")

MANY = 1_000


@dataclass(frozen=True)
class Step:
    """`pick` chooses among what is possible where the rollout stands, the likely more often than the others."""

    does: Does
    pick: int
    forced: bool


@dataclass(frozen=True)
class StoryScript:
    """After its steps it is taken back; the stages that are `quick` earn their credit in a moment."""

    quick: frozenset[int]
    steps: tuple[Step, ...]
    ending: Ending


@dataclass(frozen=True)
class Script:
    """Stories beside each other, and for each round what is wrong outside for all of them."""

    stories: tuple[StoryScript, ...]
    weather: tuple[str | None, ...]

    @property
    def rounds(self) -> int:
        """One more than the longest story has steps, so that all of them end."""
        return max(len(story.steps) for story in self.stories) + 1


def scripts(*, stories: tuple[int, int], steps: tuple[int, int]) -> st.SearchStrategy[Script]:
    """Scripts of at least and at most so many stories, each of at least and at most so many steps."""
    step = st.builds(Step, does=st.sampled_from(DOES), pick=st.integers(0, MANY - 1), forced=st.booleans())
    story = st.builds(
        StoryScript,
        quick=st.frozensets(st.sampled_from((CANARY, STAGED))).map(lambda quick: quick | {DARK}),
        steps=st.lists(step, min_size=steps[0], max_size=steps[1]).map(tuple),
        ending=st.sampled_from(ENDINGS),
    )
    # As often bad as not.
    weather = st.sampled_from((*(None for _ in FAULTS), *sorted(FAULTS)))
    return st.builds(
        Script,
        stories=st.lists(story, min_size=stories[0], max_size=stories[1]).map(tuple),
        weather=st.lists(weather, min_size=steps[1] + 1, max_size=steps[1] + 1).map(tuple),
    )
