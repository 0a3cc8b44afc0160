"""Where control's latencies lie, by its own histogram: the edges around its p95, and how fast its tail falls."""

from math import exp, log, prod

P95_TAIL, NEAR_P95_TAIL = 0.05, 0.06
"""An edge that up to 6 % exceed is taken for the p95 itself: the next lower one, which tells more, is asked too."""
LEARNT_FROM = 1_000
"""Requests in control before a latency gate knows where its p95 lies."""


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
    return max(1.0, exp(survived - ys[around.index(edge)]))
