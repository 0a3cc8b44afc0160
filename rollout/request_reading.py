"""Reading what a rollout is started with: the request, or a sentence that says what is wrong with it.

`rollout start` sends the right shape. From Temporal's UI anything can be sent, and must not become a workflow that
nobody carries on and that fails each of its tasks for ever.
"""

import json
import re
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from rollout.field_problems import in_plain_words
from rollout.messages import RolloutRequest

SHOWN_PROBLEMS = 5
_IMAGE = re.compile(r"\S+")
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
        request = RolloutRequest.model_validate_json(_written(value))
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_input=False)
        problems = [f"{'.'.join(map(str, error['loc']))}: {in_plain_words(error)}" for error in errors]
        raise ValueError(f"cannot start: {_first(problems)}; {_EXPECTED}") from None
    if set(request.images) != set(request.plan.services):
        services = ", ".join(request.plan.services)
        raise ValueError(f"cannot start: images: one for each service of the plan is expected, which has {services}")
    return request


def _written(value: object) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        raise ValueError(f"cannot start: its input is nested too deeply; {_EXPECTED}") from None


def why_not_begun(request: RolloutRequest) -> str | None:
    """What keeps a request that could be read from beginning: blanks where a name or a reason is needed.

    Asked of what begins now. A rollout under way began with what was read then, and goes on.
    """
    problems = [
        f"images.{key} is {image!r}, expected is an image without spaces, such as registry/{key}:2"
        for key, image in request.images.items()
        if not _IMAGE.fullmatch(image)
    ]
    if not request.by.strip():
        problems.append(f"by is {request.by!r}, expected is a text that says who starts it")
    if request.again is not None and not request.again.strip():
        problems.append(f"again is {request.again!r}, expected is the reason to try a refused candidate once more")
    blanks = _blanks(request.plan.model_dump(mode="json"), "plan")
    problems.extend(f"{place} is blank, expected is a text that says something" for place in blanks)
    return f"cannot start: {_first(problems)}; {_EXPECTED}" if problems else None


def _blanks(value: object, place: str) -> Iterator[str]:
    """The places of texts and names that are nothing but blanks. Left empty is what may be left out."""
    match value:
        case str():
            if value and not value.strip():
                yield place
        case dict():
            for key, inside in value.items():
                if key.strip():
                    yield from _blanks(inside, f"{place}.{key}")
                else:
                    yield f"{place}.{key!r}"
        case list():
            for index, inside in enumerate(value):
                yield from _blanks(inside, f"{place}.{index}")


def _first(problems: Sequence[str]) -> str:
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return "; ".join(problems[:SHOWN_PROBLEMS]) + more


def _kind(value: object) -> str:
    return "bytes that are not JSON" if isinstance(value, bytes) else f"JSON of another kind ({type(value).__name__})"
