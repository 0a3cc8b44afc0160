"""A value that changes at known instants, answerable for any instant of the past."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class History(Generic[T]):
    """A step function of time: each recorded value holds from its instant until the next one.

    Instants are microseconds. A value recorded with an instant before the last one takes effect with the last one:
    the past never changes once it may have been read.
    """

    def __init__(self, initial: T) -> None:
        self._instants: list[int] = []
        self._values: list[T] = [initial]

    @property
    def latest(self) -> T:
        return self._values[-1]

    def record(self, instant: int, value: T) -> None:
        if value == self._values[-1]:
            return
        at = max(instant, self._instants[-1]) if self._instants else instant
        self._instants.append(at)
        self._values.append(value)

    def changes(self) -> Sequence[tuple[int | None, T]]:
        """Every value with the instant it holds from; the first one held before all of them."""
        return list(zip([None, *self._instants], self._values, strict=True))

    @classmethod
    def of(cls, changes: Sequence[tuple[int | None, T]]) -> "History[T]":
        """The history whose `changes` these are."""
        history = cls(changes[0][1])
        history._instants = [instant for instant, _ in changes if instant is not None]
        history._values = [value for _, value in changes]
        return history

    def at(self, instant: int) -> T:
        return self._values[bisect_right(self._instants, instant)]

    def changes_between(self, start: int, end: int) -> Sequence[int]:
        """The instants strictly inside `(start, end)` at which the value changed."""
        return self._instants[bisect_right(self._instants, start) : bisect_left(self._instants, end)]
