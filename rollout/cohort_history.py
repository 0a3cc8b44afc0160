"""How much worse the treated cohort was before it had the features: what is not the new code's doing.

A share of users that is fixed by a hash is not a fresh coin: it may have been worse from the start. Where both groups
were measured while nobody was exposed, that much is allowed, with one standard error on top; but only once it is known
well enough, and never less than equality: a cohort that was better proves nothing about the code.
"""

from dataclasses import dataclass
from math import exp, sqrt

from rollout.counting import counted
from rollout.stored_state import DIGITS, STORED

LARGEST_ERROR = 0.15
"""Of the ratio's logarithm: a ratio that is known less well would allow more than it explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortHistory:
    """Sums over intervals in which nobody was exposed, each weighted by what it can tell (Mantel and Haenszel).

    So a share of the cohort that changes meanwhile does not look like a difference.
    """

    __pydantic_config__ = STORED

    bad: int = 0
    control_bad: int = 0
    weighted: float = 0.0
    control_weighted: float = 0.0
    allowed: float = 1.0
    """How many times control's rate the cohort may have."""

    def in_words(self) -> str:
        """For a person: what is allowed for the cohort's past, and what that rests on."""
        if not self.bad or not self.control_weighted:
            return "nothing is known of the cohort before"
        ratio = self.weighted / self.control_weighted
        seen = f"the cohort had {ratio:.2f} times control's share before, on {counted(self.bad, 'bad event')}"
        return f"{seen}: {self.allowed:.2f} times is allowed" if self.allowed > 1 else f"{seen}: nothing is allowed"

    def after(self, bad: int, total: int, control_bad: int, control_total: int, phi: float) -> "CohortHistory":
        """`phi` is the variance of bad events over that of independent ones."""
        whole = total + control_total
        weighted = round(self.weighted + bad * control_total / whole, DIGITS)
        control_weighted = round(self.control_weighted + control_bad * total / whole, DIGITS)
        bad, control_bad = self.bad + bad, self.control_bad + control_bad
        allowed = 1.0
        # Of groups that are millions of times apart in size nothing is left of the smaller one's weight.
        if bad and control_weighted and (error := sqrt(phi * (1 / bad + 1 / control_bad))) <= LARGEST_ERROR:
            allowed = max(1.0, weighted / control_weighted * exp(error))
        return CohortHistory(
            bad=bad,
            control_bad=control_bad,
            weighted=weighted,
            control_weighted=control_weighted,
            allowed=round(allowed, DIGITS),
        )
