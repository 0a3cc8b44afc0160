"""Room in memory for what would otherwise be asked, read or judged again; losing it costs time, never an answer.

Where there is less room than is asked for, whoever has a place keeps it for as long as he uses it. To drop the longest
unused would be worst here: watches look in turn, and each would find that its place went to the one before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

UNUSED_SECONDS = 600.0
"""After so long a place is free for others: its watch is over, or looks elsewhere."""


@dataclass
class _Place(Generic[V]):
    value: V
    size: int
    used: float


class Places(Generic[K, V]):
    """`clock` tells seconds that pass."""

    def __init__(self, room: int, clock: Callable[[], float]) -> None:
        self._room = self._left = room
        self._clock = clock
        self._places: dict[K, _Place[V]] = {}

    def get(self, key: K) -> V | None:
        place = self._places.get(key)
        if place is None:
            return None
        place.used = self._clock()
        return place.value

    def put(self, key: K, value: V, size: int = 1) -> None:
        """Keep `value`, in place of what was there; where there is no room, nothing."""
        self.discard(key)
        now = self._clock()
        while self._left < size <= self._room:
            eldest = min(self._places, key=lambda each: self._places[each].used)
            if now - self._places[eldest].used < UNUSED_SECONDS:
                return
            self.discard(eldest)
        if size <= self._left:
            self._places[key] = _Place(value, size, now)
            self._left -= size

    def discard(self, key: K) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            self._left += place.size
