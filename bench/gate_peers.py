"""How peers decide, from the same minutes: each function gives the minute at which a method rolls back, or None.

Formulas from the projects' own sources and papers: Kayenta's judge (Mann-Whitney with a tolerance of a quarter of the
shift, 98 %), failure counts as Flagger and Argo Rollouts keep them, GrowthBook's one-sided asymptotic confidence
sequence (5 %, tuned at 5,000), the Beta mixture for counts that Netflix has described (0.33 %), and what many write
themselves: a z-test each minute (0.33 %), and five bad minutes in a row.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import betaln  # type: ignore[import-untyped]
from scipy.stats import mannwhitneyu  # type: ignore[import-untyped]

from bench.gate_traffic import Minutes

Method = Callable[[Minutes], int | None]
Flags = npt.NDArray[np.bool_]

LIMIT = 0.01
FIRST_LOOK = 5
"""Minutes before which methods without a rule of their own do not look."""
Z_ONE_THIRD_PERCENT = 2.71
GROWTHBOOK_TUNED_AT, GROWTHBOOK_ALPHA = 5_000, 0.05
NETFLIX_ODDS = 300.0
NETFLIX_PRIOR = 100.0
KAYENTA_TOLERANCE, KAYENTA_ALPHA, KAYENTA_Z = 0.25, 0.01, 2.326
KAYENTA_EVERY, KAYENTA_WINDOW = 60, 240
FLAGGER_SUCCESS, FLAGGER_THRESHOLD = 0.99, 10
ARGO_WINDOW, ARGO_FAILURES = 5, 3
IN_A_ROW = 5


def kayenta(data: Minutes) -> int | None:
    """Every hour, on the error rates of the last four hours' minutes."""
    treated = data.treated_bad / np.maximum(data.treated, 1)
    control = data.control_bad / np.maximum(data.control, 1)
    return kayenta_of(treated, control)


def kayenta_of(treated: npt.NDArray[np.float64], control: npt.NDArray[np.float64]) -> int | None:
    """The same of any measure that has one value per minute."""
    for end in range(KAYENTA_EVERY, len(treated) + 1, KAYENTA_EVERY):
        ours, theirs = treated[max(0, end - KAYENTA_WINDOW) : end], control[max(0, end - KAYENTA_WINDOW) : end]
        if _largest_z(ours, theirs) < KAYENTA_Z:
            continue
        shift = float(np.median(np.subtract.outer(ours, theirs)))
        if shift <= 0:
            continue
        moved = ours - KAYENTA_TOLERANCE * shift
        if mannwhitneyu(moved, theirs, alternative="greater", method="asymptotic").pvalue < KAYENTA_ALPHA:
            return end
    return None


def _largest_z(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    """At most this is the statistic of the test wherever `ours` are moved down; most hours need no more.

    Their ranks can only fall, and ties make the deviation smallest where the largest groups of both meet.
    """
    ordered, n, m = np.sort(theirs), len(ours), len(theirs)
    above = (np.searchsorted(ordered, ours, "left") + np.searchsorted(ordered, ours, "right")).sum() / 2
    ties = np.zeros((2, max(n, m)))
    for row, values in zip(ties, (ours, theirs), strict=True):
        alike = np.sort(np.unique(values, return_counts=True)[1])[::-1]
        row[: len(alike)] = alike
    together = ties.sum(axis=0)
    variance = n * m / 12 * (n + m + 1 - (together**3 - together).sum() / ((n + m) * (n + m - 1)))
    return float((above - n * m / 2) / np.sqrt(variance)) if variance > 0 else np.inf


def five_in_a_row(data: Minutes) -> int | None:
    """Minutes in which the difference is beyond the limit."""
    bad = _difference(data) > LIMIT
    runs = np.convolve(bad, np.ones(IN_A_ROW, dtype=int))[: len(bad)]
    return first(runs >= IN_A_ROW)


def argo_total(data: Minutes) -> int | None:
    """Five-minute analyses whose difference is beyond the limit; failures are counted and never forgotten."""
    whole = len(data.treated) // ARGO_WINDOW * ARGO_WINDOW
    parts = [counts[:whole].reshape(-1, ARGO_WINDOW).sum(1) for counts in _columns(data)]
    failed = np.cumsum(_difference(Minutes(*parts)) > LIMIT) > ARGO_FAILURES
    minute = first(failed)
    return None if minute is None else minute * ARGO_WINDOW


def flagger_total(data: Minutes) -> int | None:
    """Minutes with less than 99 % success, whatever control does; counted and never forgotten."""
    success = 1 - data.treated_bad / np.maximum(data.treated, 1)
    return first(np.cumsum(success < FLAGGER_SUCCESS) >= FLAGGER_THRESHOLD)


def growthbook(data: Minutes) -> int | None:
    """The lower end of the confidence sequence for the difference, against zero."""
    n_treated, bad_treated, n_control, bad_control = (np.cumsum(counts) for counts in _columns(data))
    p_treated, p_control = bad_treated / np.maximum(n_treated, 1), bad_control / np.maximum(n_control, 1)
    n = np.maximum(n_treated + n_control, 1)
    variance = n * (
        p_treated * (1 - p_treated) / np.maximum(n_treated, 1) + p_control * (1 - p_control) / np.maximum(n_control, 1)
    )
    tuned = -2 * np.log(2 * GROWTHBOOK_ALPHA)
    rho2 = (tuned + np.log(1 + tuned)) / GROWTHBOOK_TUNED_AT
    half = np.sqrt(
        variance * 2 * (n * rho2 + 1) / (n**2 * rho2) * np.log(1 + np.sqrt(n * rho2 + 1) / (2 * GROWTHBOOK_ALPHA))
    )
    return first((p_treated - p_control - half > 0) & _after_the_first_looks(len(n)))


def netflix(data: Minutes) -> int | None:
    """Odds that bad events fall to the treated more often than their share of the traffic, pooled over all minutes."""
    treated, bad_treated, control, bad_control = (np.cumsum(counts).astype(float) for counts in _columns(data))
    share = treated / np.maximum(treated + control, 1)
    a, b = share * NETFLIX_PRIOR, (1 - share) * NETFLIX_PRIOR
    with np.errstate(divide="ignore", invalid="ignore"):  # as long as nobody is treated there are no odds
        log_odds = (
            betaln(a + bad_treated, b + bad_control)
            - betaln(a, b)
            - bad_treated * np.log(share)
            - bad_control * np.log(1 - share)
        )
    worse = bad_treated > share * (bad_treated + bad_control)
    return first((log_odds > np.log(NETFLIX_ODDS)) & worse)


def z_each_minute(data: Minutes) -> int | None:
    """Two pooled proportions, tested anew each minute as if it were the only time."""
    n_treated, bad_treated, n_control, bad_control = (np.cumsum(counts) for counts in _columns(data))
    pooled = (bad_treated + bad_control) / np.maximum(n_treated + n_control, 1)
    error = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(n_treated, 1) + 1 / np.maximum(n_control, 1)))
    z = (bad_treated / np.maximum(n_treated, 1) - bad_control / np.maximum(n_control, 1)) / np.maximum(error, 1e-12)
    return first((z > Z_ONE_THIRD_PERCENT) & _after_the_first_looks(len(z)))


METHODS: Mapping[str, Method] = {
    "Kayenta's judge, hourly": kayenta,
    "5 bad minutes in a row": five_in_a_row,
    "Argo Rollouts, 3 failures": argo_total,
    "Flagger, 10 checks < 99 %": flagger_total,
    "GrowthBook sequential, 5 %": growthbook,
    "Netflix counts, 0.33 %": netflix,
    "z each minute, 0.33 %": z_each_minute,
}


def _columns(data: Minutes) -> tuple[npt.NDArray[np.int64], ...]:
    return data.treated, data.treated_bad, data.control, data.control_bad


def _difference(data: Minutes) -> npt.NDArray[np.float64]:
    return data.treated_bad / np.maximum(data.treated, 1) - data.control_bad / np.maximum(data.control, 1)


def _after_the_first_looks(count: int) -> Flags:
    return np.arange(count) >= FIRST_LOOK


def first(flags: Flags) -> int | None:
    """The number of the first true entry, counted from 1."""
    return int(flags.argmax()) + 1 if flags.any() else None
