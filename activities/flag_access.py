"""What the watch and the guard need of the flag store: to read it, and to latch it again when it lost its data."""

from typing import Protocol

from rollout.flags import FlagSnapshot


class Lease(Protocol):
    async def renew(self, environment: str, group: str, *, fence: int) -> None:
        """Let the features stay on for the length of the group's lease; nothing where it is not this rollout's."""
        ...


class Flags(Protocol):
    async def snapshot(self, environment: str, group: str) -> FlagSnapshot | None:
        """The flag documents as they are now; raises OSError or a Redis error when the store cannot be read."""
        ...

    async def latch_again(
        self, environment: str, group: str, *, by: str, reason: str, at_least_epoch: int
    ) -> FlagSnapshot | None:
        """Turn everything off and keep it off, in a store that has lost what it knew; what it then holds."""
        ...
