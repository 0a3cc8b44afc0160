"""What one interval adds to the evidence of a gate on a score, such as the level of an isolation check."""

from math import log

from rollout.sequential_model import GroupScore, SequentialGate
from rollout.sequential_state import Keys

SCORE_STAKES = (0.025, 0.1, 0.3, 0.75)
"""Bets on a score, as parts of the largest stake that cannot lose everything."""


def with_score(gate: SequentialGate, keys: Keys, treated: GroupScore, minutes: float) -> Keys:
    """A bet needs only that the expected score is no lower than allowed, whatever its distribution."""
    lost, limit = 1 - treated.score, gate.allowed_share
    total, bad = keys.total + treated.total, keys.bad + (1 if lost > 0 else 0)
    if limit <= 0:
        return keys.model_copy(update={"bad": bad, "total": total})
    factors = [log(1 + part / limit * (lost - limit)) for part in SCORE_STAKES]
    average = keys.average
    mean = average.difference / average.weight if average.weight else lost
    variance = max((lost - mean) ** 2, (limit / 4) ** 2)
    return keys.model_copy(
        update={
            "harm": keys.harm.after(factors, minutes),
            "beyond": keys.beyond.after(factors, minutes),
            "average": average.after(lost, 1.0, variance, treated.total),
            "bad": bad,
            "total": total,
        }
    )
