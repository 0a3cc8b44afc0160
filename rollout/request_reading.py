"""Reading what a rollout is started with: the request, or a sentence that says what is wrong with it.

`rollout start` sends the right shape. From Temporal's UI anything can be sent, and must not become a workflow that
nobody carries on and that fails each of its tasks for ever.
"""

import json
from collections.abc import Sequence

from pydantic import ValidationError

from rollout.field_problems import in_plain_words
from rollout.messages import RolloutRequest

SHOWN_PROBLEMS = 5
_EXPECTED = "one object is expected, with `plan`, `images` and `by`; `rollout start PLAN` sends it"


def read_request(values: Sequence[object]) -> RolloutRequest:
    """The request that the inputs of a workflow hold.

    Raises:
        ValueError: they are something else. Names the fields, what is wrong with them, and the command that is right.
    """
    if len(values) != 1:
        came = f"with {len(values)} inputs" if values else "without an input"
        raise ValueError(f"cannot start: it came {came}; {_EXPECTED}")
    (value,) = values
    if not isinstance(value, dict):
        raise ValueError(f"cannot start: its input is {_kind(value)}; {_EXPECTED}")  # noqa: TRY004  (typed by a person)
    try:
        # As it came over the wire: durations and times are texts there.
        request = RolloutRequest.model_validate_json(json.dumps(value))
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_input=False)
        problems = [f"{'.'.join(map(str, error['loc']))}: {in_plain_words(error)}" for error in errors[:SHOWN_PROBLEMS]]
        more = f"; and {len(errors) - SHOWN_PROBLEMS} more" if len(errors) > SHOWN_PROBLEMS else ""
        raise ValueError(f"cannot start: {'; '.join(problems)}{more}; {_EXPECTED}") from None
    if set(request.images) != set(request.plan.services):
        services = ", ".join(request.plan.services)
        raise ValueError(f"cannot start: images: one for each service of the plan is expected, which has {services}")
    return request


def _kind(value: object) -> str:
    return "bytes that are not JSON" if isinstance(value, bytes) else f"JSON of another kind ({type(value).__name__})"
