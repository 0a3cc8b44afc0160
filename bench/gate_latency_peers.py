"""How peers decide about a p95, from the same minutes: the minute at which a method rolls back, or None.

What is done with a p95 is the same as with errors (`gate_peers`): Kayenta's judge and counted failures read the p95 of
each minute, as Cloud Monitoring and Prometheus take it from buckets. Methods for shares count requests slower than the
usual p95, which they are told; in production somebody has to know it. So is Flagger's limit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.gate_peers import (
    ARGO_FAILURES,
    ARGO_WINDOW,
    FLAGGER_THRESHOLD,
    IN_A_ROW,
    first,
    growthbook,
    kayenta_of,
    netflix,
    z_each_minute,
)
from bench.gate_traffic import Counts, Minutes, Rates

LIMIT = 0.10


@dataclass(frozen=True)
class LatencyMinutes:
    """One row of buckets per minute; one bucket more than `bounds_ms`. `usual_edge` is the edge at the usual p95."""

    bounds_ms: tuple[float, ...]
    usual_edge: int
    treated: Counts
    control: Counts


Method = Callable[[LatencyMinutes], int | None]


def kayenta(data: LatencyMinutes) -> int | None:
    """Every hour, on the p95 of the last four hours' minutes."""
    return kayenta_of(*_p95_of_both(data))


def five_in_a_row(data: LatencyMinutes) -> int | None:
    """Minutes in which the p95 is beyond the limit."""
    bad = _is_beyond(*_p95_of_both(data))
    return first(np.convolve(bad, np.ones(IN_A_ROW, dtype=int))[: len(bad)] >= IN_A_ROW)


def argo_total(data: LatencyMinutes) -> int | None:
    """Five-minute analyses whose p95 is beyond the limit; failures are counted and never forgotten."""
    whole, buckets = len(data.treated) // ARGO_WINDOW * ARGO_WINDOW, data.treated.shape[1]
    treated, control = (
        counts[:whole].reshape(-1, ARGO_WINDOW, buckets).sum(1) for counts in (data.treated, data.control)
    )
    bad = _is_beyond(*_p95_of_both(LatencyMinutes(data.bounds_ms, data.usual_edge, treated, control)))
    minute = first(np.cumsum(bad) > ARGO_FAILURES)
    return None if minute is None else minute * ARGO_WINDOW


def flagger_total(data: LatencyMinutes) -> int | None:
    """Minutes beyond the usual p95 and the limit, whatever control does; counted and never forgotten."""
    limit = (1 + LIMIT) * data.bounds_ms[data.usual_edge]
    return first(np.cumsum(p95(data.treated, data.bounds_ms) > limit) >= FLAGGER_THRESHOLD)


LATENCY_METHODS: Mapping[str, Method] = {
    "Kayenta's judge, hourly": kayenta,
    "5 bad minutes in a row": five_in_a_row,
    "Argo Rollouts, 3 failures": argo_total,
    "Flagger, 10 checks": flagger_total,
    "GrowthBook sequential, 5 %": lambda data: growthbook(_slow(data)),
    "Netflix counts, 0.33 %": lambda data: netflix(_slow(data)),
    "z each minute, 0.33 %": lambda data: z_each_minute(_slow(data)),
}


def p95(counts: Counts, bounds_ms: tuple[float, ...]) -> Rates:
    """Of each row, interpolated within its bucket; the last edge where it lies above, 0 where nobody was served."""
    edges = np.array([0.0, *bounds_ms, bounds_ms[-1]])
    summed = np.cumsum(counts, axis=1)
    rank = 0.95 * summed[:, -1]
    bucket = (summed < rank[:, None]).sum(axis=1)
    rows = np.arange(len(counts))
    inside = counts[rows, bucket]
    part = np.where(inside > 0, (rank - (summed[rows, bucket] - inside)) / np.maximum(inside, 1), 0.0)
    found: Rates = edges[bucket] + part * (edges[bucket + 1] - edges[bucket])
    return found


def _p95_of_both(data: LatencyMinutes) -> tuple[Rates, Rates]:
    """Where one of them served nobody there is no difference."""
    treated, control = p95(data.treated, data.bounds_ms), p95(data.control, data.bounds_ms)
    both = (treated > 0) & (control > 0)
    return np.where(both, treated, 0.0), np.where(both, control, 0.0)


def _is_beyond(treated: Rates, control: Rates) -> npt.NDArray[np.bool_]:
    return treated > (1 + LIMIT) * control


def _slow(data: LatencyMinutes) -> Minutes:
    """Requests slower than the usual p95, as bad ones."""
    return Minutes(
        treated=data.treated.sum(axis=1),
        treated_bad=data.treated[:, data.usual_edge + 1 :].sum(axis=1),
        control=data.control.sum(axis=1),
        control_bad=data.control[:, data.usual_edge + 1 :].sum(axis=1),
    )
