"""Reading what a person typed as the input of a command: the message, or a sentence that says what is wrong with it.

The product's own command line sends the right shape. Temporal's UI and command line send whatever was typed.
"""

import json
from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rollout.commands import CommandName, in_words
from rollout.messages import Command

C = TypeVar("C", bound=Command)

LONGEST_VALUE = 80


def read_command(name: CommandName, message: type[C], values: Sequence[object]) -> C:
    """The message that the inputs of an Update hold; one input, an object with the message's fields.

    Raises:
        ValueError: the inputs are something else. Names the field, the value, what is allowed, and a right input.
    """
    cannot, example = f"cannot {in_words(name)}", f"for example {example_of(message)}"
    expected = f"one object is expected, {example}"
    if not values:
        raise ValueError(f"{cannot}: it came without an input; {expected}")
    if len(values) > 1:
        raise ValueError(f"{cannot}: it came with {len(values)} inputs; {expected}")
    value = _decoded(values[0])
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004  (what a person typed is wrong, not a type of the program)
            f"{cannot}: the input is {_shown(value)}; {expected}"
        )
    try:
        return message.model_validate(value)
    except ValidationError as refused:
        problems = dict.fromkeys(_problem(message, error) for error in refused.errors(include_url=False))
        raise ValueError(f"{cannot}: {'; '.join(problems)}; {example}") from None


def example_of(message: type[Command]) -> str:
    """A right input, as JSON: the example of every field."""
    fields = message.model_fields.items()
    return json.dumps({name: field.examples[0] for name, field in fields if field.examples}, ensure_ascii=False)


def _decoded(value: object) -> object:
    """JSON that was sent as plain bytes is JSON all the same."""
    if not isinstance(value, bytes):
        return value
    try:
        decoded: object = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return decoded


def _problem(message: type[Command], error: ErrorDetails) -> str:
    name, *inside = error["loc"]
    field = message.model_fields.get(str(name))
    if field is None:
        return f"there is no field {_shown(name)} (it holds {_shown(error['input'])}), only {_fields(message)}"
    allowed = f"expected is {field.description}"
    if error["type"] == "missing":
        return f"the field {name} is missing, {allowed}"
    place = ".".join(str(part) for part in (name, *inside))
    return f"the field {place} is {_shown(error['input'])}, {allowed}"


def _fields(message: type[Command]) -> str:
    return ", ".join(
        f"{name} (required)" if field.is_required() else name for name, field in message.model_fields.items()
    )


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"bytes that are not JSON ({_shortened(repr(value))})"
    try:
        return _shortened(json.dumps(value, ensure_ascii=False, default=str))
    except RecursionError:
        return "nested too deeply"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
