"""What an application is told about its flags: answers with reasons, the state of its reader, and what happens."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from flagstore.held import Limit
from flagstore.reader import ReaderCounts
from rollout.flags import FlagSnapshot


@dataclass(frozen=True, kw_only=True)
class FlagDetails:
    """An answer with its reasons. `limit` says why less may be shown than the snapshot asks for."""

    enabled: bool
    reason: str
    stage: str
    bucket: int | None
    epoch: int
    rev: int
    latch: bool
    limit: Limit


@dataclass(frozen=True)
class FlagsStatus:
    """`position` is the newest (epoch, rev) seen; `silent_for` is in seconds, None before the first contact."""

    position: tuple[int, int] | None
    silent_for: float | None
    limit: Limit
    counts: ReaderCounts


class Happening(Enum):
    CHANGED = "other exposures are shown"
    STALE = "the store has been silent for some seconds"
    READY = "the store is heard of again"
    REGRESSED = "the store has lost writes; of each flag the smaller exposure is kept"


Listener = Callable[[Happening, FlagSnapshot | None, tuple[str, ...]], None]
"""What happened, what is shown since, and which flags changed. Called in order, in a thread of its own."""
