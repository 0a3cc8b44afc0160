"""Distributions: counts per bucket with the sums behind mean and deviation, which add up without loss."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sandbox.wire_messages import Distribution


@dataclass(frozen=True, slots=True)
class BucketLayout:
    """The finite edges of the buckets, and the options message that says so on the wire.

    `n` edges make `n + 1` buckets: one below the first edge, one above the last.
    """

    edges: tuple[float, ...]
    options: bytes = field(compare=False)

    @staticmethod
    def exponential(buckets: int, growth: float, scale: float) -> "BucketLayout":
        options = Distribution.BucketOptions()
        options.exponential_buckets.num_finite_buckets = buckets
        options.exponential_buckets.growth_factor = growth
        options.exponential_buckets.scale = scale
        return layout_of(options.SerializeToString())

    @staticmethod
    def linear(buckets: int, width: float, offset: float) -> "BucketLayout":
        options = Distribution.BucketOptions()
        options.linear_buckets.num_finite_buckets = buckets
        options.linear_buckets.width = width
        options.linear_buckets.offset = offset
        return layout_of(options.SerializeToString())


@lru_cache(maxsize=256)
def layout_of(options: bytes) -> BucketLayout:
    """The layout a serialised `Distribution.BucketOptions` describes."""
    parsed = Distribution.BucketOptions.FromString(options)
    kind = parsed.WhichOneof("options")
    if kind == "exponential_buckets":
        spec = parsed.exponential_buckets
        edges = tuple(spec.scale * spec.growth_factor**i for i in range(spec.num_finite_buckets + 1))
    elif kind == "linear_buckets":
        spec = parsed.linear_buckets
        edges = tuple(spec.offset + spec.width * i for i in range(spec.num_finite_buckets + 1))
    else:
        edges = tuple(parsed.explicit_buckets.bounds)
    return BucketLayout(edges, options)


@dataclass(slots=True)
class Histogram:
    """Observations of one layout: how many in each bucket, their sum and the sum of their squares."""

    layout: BucketLayout
    counts: list[int]
    total: float
    squares: float

    @classmethod
    def empty(cls, layout: BucketLayout) -> "Histogram":
        return cls(layout, [0] * (len(layout.edges) + 1), 0.0, 0.0)

    def add(self, value: float) -> None:
        """Note one observation; a value on an edge belongs to the bucket above it."""
        self.counts[bisect_right(self.layout.edges, value)] += 1
        self.total += value
        self.squares += value * value

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        count = self.count
        return self.total / count if count else 0.0

    def percentile(self, share: float) -> float:
        """The value below which `share` of the observations lie, linear inside its bucket."""
        rank, below = share * self.count, 0
        edges = self.layout.edges
        for index, count in enumerate(self.counts):
            if count and below + count >= rank:
                low = edges[index - 1] if index else min(0.0, edges[0])
                high = edges[index] if index < len(edges) else low
                return low + (high - low) * (rank - below) / count
            below += count
        return 0.0

    def minus(self, earlier: "Histogram") -> "Histogram":
        """What was observed since `earlier`, an older state of the same cumulative distribution."""
        counts = [now - before for now, before in zip(self.counts, earlier.counts, strict=True)]
        return Histogram(self.layout, counts, self.total - earlier.total, self.squares - earlier.squares)

    def to_message(self) -> Any:
        """On the wire the empty buckets at the end are left out, as the API allows."""
        last = max((index for index, count in enumerate(self.counts) if count), default=-1)
        mean, count = self.mean, self.count
        message = Distribution(
            count=count,
            mean=mean,
            sum_of_squared_deviation=max(0.0, self.squares - count * mean * mean),
            bucket_counts=self.counts[: last + 1],
        )
        message.bucket_options.MergeFromString(self.layout.options)
        return message


def from_message(message: Any) -> Histogram:
    layout = layout_of(message.bucket_options.SerializeToString())
    counts = list(message.bucket_counts)
    counts += [0] * (len(layout.edges) + 1 - len(counts))
    squares = message.sum_of_squared_deviation + message.count * message.mean**2
    return Histogram(layout, counts, message.count * message.mean, squares)


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """The sum of at least one histogram.

    Raises:
        ValueError: their bucket edges differ.
    """
    parts = list(histograms)
    layout = parts[0].layout
    if any(part.layout != layout for part in parts):
        raise ValueError("Distributions with different bucket boundaries cannot be combined.")
    if len(parts) == 1:
        return parts[0]
    return Histogram(
        layout,
        [sum(column) for column in zip(*(part.counts for part in parts), strict=True)],
        sum(part.total for part in parts),
        sum(part.squares for part in parts),
    )
