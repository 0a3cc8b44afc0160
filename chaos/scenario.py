"""What happens to one rollout: drawn from a seed, so that a run can be repeated."""

from dataclasses import dataclass
from random import Random
from typing import Literal

PartName = Literal["worker", "redis", "temporal", "sandbox"]

PARTS: tuple[PartName, ...] = ("worker", "redis", "temporal", "sandbox")
STRUCK_WITHIN_SECONDS = 10.0
"""About as long as the plan takes undisturbed."""
SHORTEST_OUTAGE_SECONDS = 0.1
LONGEST_OUTAGE_SECONDS = 3.0
SHORTEST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Blow:
    """A part is struck `at` seconds after the start of the rollout and is back `down` seconds later."""

    part: PartName
    at: float
    down: float


@dataclass(frozen=True)
class Scenario:
    """`emergency_at` is None where the rollout is meant to complete. Times are seconds after its start."""

    seed: int
    blows: tuple[Blow, ...]
    pause_at: float
    resume_at: float
    emergency_at: float | None

    def in_words(self) -> str:
        struck = ", ".join(f"{blow.part} at {blow.at:.1f} s for {blow.down:.1f} s" for blow in self.blows)
        emergency = "" if self.emergency_at is None else f"; emergency at {self.emergency_at:.1f} s"
        return f"{struck}; pause at {self.pause_at:.1f} s until {self.resume_at:.1f} s{emergency}"


def drawn(seed: int) -> Scenario:
    """The scenario of a seed: one to four parts struck, a pause, and in every other one an emergency."""
    random = Random(seed)  # noqa: S311  (reproducible on purpose)
    struck = random.sample(PARTS, random.randint(1, len(PARTS)))
    blows = [
        Blow(
            part,
            at=random.uniform(0, STRUCK_WITHIN_SECONDS),
            down=random.uniform(SHORTEST_OUTAGE_SECONDS, LONGEST_OUTAGE_SECONDS),
        )
        for part in struck
    ]
    pause_at = random.uniform(0, STRUCK_WITHIN_SECONDS)
    resume_at = pause_at + random.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    emergency_at = random.uniform(0, STRUCK_WITHIN_SECONDS)
    return Scenario(
        seed=seed,
        blows=tuple(sorted(blows, key=lambda blow: blow.at)),
        pause_at=pause_at,
        resume_at=resume_at,
        emergency_at=emergency_at if seed % 2 else None,
    )
