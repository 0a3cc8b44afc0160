"""Where control's latencies lie, by its own histogram: the edges around its p95, and how fast its tail falls.

Of a histogram with many edges only what is asked of is kept: the buckets around the two edges that are compared.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from math import exp, log, prod

from rollout.stored_state import STORED

P95_TAIL, NEAR_P95_TAIL, STEEP = 0.05, 0.06, 1.25
"""An edge that up to 6 % exceed is taken for the p95 itself: the next lower one, which tells more, is asked too. But
only where so many times more exceed the one below, and it so many times more as exceed the one above: between the humps
of a cache's hits and misses a hundredth of the requests lies over several edges, and hits say nothing of the p95."""
LEARNT_FROM = 1_000
"""Requests in control before a latency gate knows where its p95 lies."""
LEARNT_HALF_LIFE_MINUTES = 1_440.0
MOST_EDGES = 200
"""A histogram with more edges is read at every second one, or every third; Cloud Monitoring has no more."""
MOST_EDGES_KEPT = 64
"""Beyond so many edges the buckets far from those that are compared are kept as one, below and above."""


@dataclass(frozen=True, slots=True)
class ControlCurve:
    """Control's histogram so far, what is older counting less; and the edges that are compared, once they are known."""

    __pydantic_config__ = STORED

    buckets: int
    """Which bucket edges it has, as `identity_of` says."""
    tenths: tuple[int, ...]
    """Of requests, by bucket; the first and the last may be several together."""
    first: int = 0
    """The edge above the first of these buckets."""
    edges: tuple[int, ...] = ()
    compared_ms: float = 0.0
    """Where the lower of the edges lies."""

    @classmethod
    def fresh(cls, bounds: tuple[float, ...]) -> "ControlCurve":
        return cls(buckets=identity_of(bounds), tenths=(0,) * (len(bounds) + 1))

    @classmethod
    def of_counts(cls, counts: Sequence[float], bounds: tuple[float, ...]) -> "ControlCurve":
        return cls(buckets=identity_of(bounds), tenths=tuple(map(_in_tenths, counts)))

    @property
    def counts(self) -> tuple[float, ...]:
        return tuple([tenths / 10 for tenths in self.tenths])

    def after(self, counts: tuple[int, ...], minutes: float) -> "ControlCurve":
        kept, seen = 0.5 ** (minutes / LEARNT_HALF_LIFE_MINUTES), self._as_kept(counts)
        faded = [round(old * kept + new, 1) for old, new in zip(self.counts, seen, strict=True)]
        return replace(self, tenths=tuple(map(_in_tenths, faded)))

    def around(self, edges: tuple[int, ...], bounds: tuple[float, ...]) -> "ControlCurve":
        """With the edges that are compared from now on; of many buckets only those that these ask of."""
        known = replace(self, edges=edges, compared_ms=bounds[edges[0]])
        if len(bounds) <= MOST_EDGES_KEPT:
            return known
        known = replace(known, first=max(0, edges[0] - 1))
        last = min(len(bounds) - 1, edges[-1] + 1)
        tenths = (sum(self.tenths[: known.first + 1]), *self.tenths[known.first + 1 : last + 1])
        return replace(known, tenths=(*tenths, sum(self.tenths[last + 1 :])))

    def exceedance_ratios(self, bounds: tuple[float, ...], edge: int, increases: Sequence[float]) -> list[float]:
        """By `exceedance_ratio`, at one of the edges that are compared."""
        counts, kept = self.counts, bounds[self.first : self.first + len(self.tenths) - 1]
        return [exceedance_ratio(counts, kept, edge - self.first, increase) for increase in increases]

    def _as_kept(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        if len(counts) == len(self.tenths):
            return counts
        last = self.first + len(self.tenths) - 2
        below, above = sum(counts[: self.first + 1]), sum(counts[last + 1 :])
        return (below, *counts[self.first + 1 : last + 1], above)


@lru_cache(maxsize=64)
def identity_of(bounds: tuple[float, ...]) -> int:
    """A number that other bucket edges do not have."""
    return int.from_bytes(blake2b(struct.pack(f"<{len(bounds)}d", *bounds), digest_size=8).digest())


def _in_tenths(count: float) -> int:
    """Of a count that was rounded to a tenth: exact, however large it is."""
    whole = int(count)
    return 10 * whole + round(10 * (count - whole))


def edges_around_p95(counts: tuple[float, ...], tail: float) -> tuple[int, ...]:
    """The first edge that at most `tail` of the requests exceed, and the one below; none while too little is known."""
    total = sum(counts)
    if total < LEARNT_FROM:
        return ()
    above = 0.0
    for edge in range(len(counts) - 2, 0, -1):
        above += counts[edge + 1]
        if above > tail * total:
            upper = min(edge + 1, len(counts) - 2)
            return (upper - 1, upper)
    return (1, 2)


def edges_of_p95(counts: tuple[float, ...]) -> tuple[int, ...]:
    """The edges of the bucket in which the p95 lies, or the lower of them and the one below where that is the p95."""
    edges = edges_around_p95(counts, P95_TAIL)
    if not edges or edges[0] == 1:
        return edges
    lower, upper = edges
    below, here, above = (sum(counts[edge + 1 :]) for edge in (lower - 1, lower, upper))
    is_p95 = here <= NEAR_P95_TAIL * sum(counts) and below >= STEEP * here and here >= STEEP * above
    return (lower - 1, lower) if is_p95 else edges


def exceedance_ratio(counts: tuple[float, ...], bounds: tuple[float, ...], edge: int, increase: float) -> float:
    """How many times more requests lie above an edge when every one takes `increase` longer; from control's own curve.

    A parabola through three edges, logarithmic in both directions; half a request keeps an empty tail finite.
    """
    total = sum(counts) + 1
    around = [index for index in (edge - 1, edge, edge + 1) if 0 <= index < len(bounds)]
    xs = [log(max(bounds[index], 1e-9)) for index in around]
    ys = [log((sum(counts[index + 1 :]) + 0.5) / total) for index in around]
    at = log(max(bounds[edge], 1e-9)) - log(1 + increase)
    survived = sum(
        y * prod((at - other) / (x - other) for other in xs if other != x) for x, y in zip(xs, ys, strict=True)
    )
    # More than all requests cannot lie above it, whatever the parabola says far away from its three edges.
    return max(1.0, exp(min(0.0, survived) - ys[around.index(edge)]))
