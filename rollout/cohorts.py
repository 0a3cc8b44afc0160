"""To which part of a cohort a user belongs, exposed or not: the label by which the cohort's past can be asked for.

The users of a cohort are ordered by their hash, and a percentage exposes the first of them. So the label is the
smallest of a few percentages that would take the user in: at 10 % the users labelled 10 are treated, at 50 % those
labelled 10 and 50. It says nothing of what the user is shown, and is the same before, during and after a rollout.
"""

from collections.abc import Sequence

from rollout.flags import BASIS_POINTS, FlagSnapshot, email_domain, threshold, user_hash

EVERYBODY_ELSE = "100"
AUDIENCE = "audience"
"""Users who are treated before anybody else, whatever their hash: they are in neither group of a comparison."""
NOBODY = "none"
"""Requests without a user, and all requests as long as no cohort is known."""


def label_of(percent: float) -> str:
    """How a percentage is written as a label, such as 10 or 0.5."""
    return f"{percent:g}"


def cohort_label(
    snapshot: FlagSnapshot | None, steps: Sequence[float], user_key: str | None, email: str | None = None
) -> str:
    """The user's label. `steps` are percentages between 0 and 100, ascending; never raises for what a request holds."""
    if snapshot is None or snapshot.cohort is None:
        return NOBODY
    if email and email_domain(email) in snapshot.audience.domains:
        return AUDIENCE
    if not user_key:
        return NOBODY
    if user_key in snapshot.audience.users:
        return AUDIENCE
    try:
        place = user_hash(snapshot.cohort, user_key)
    except UnicodeEncodeError:
        return NOBODY
    return next(
        (label_of(percent) for percent in steps if place < threshold(round(percent * BASIS_POINTS / 100))),
        EVERYBODY_ELSE,
    )
