"""What an answer or an event of a load test says of itself, at the field where the test looks for it."""

import json
from collections.abc import Mapping
from typing import Any


def field_of(body: bytes | str | None, name: str) -> str | None:
    """The text at a field of a JSON object; `a.b` is the field b of the object at a. None where there is none."""
    return text_at(object_in(body), name)


def object_in(body: bytes | str | None) -> Mapping[str, Any]:
    """The JSON object that a body is; an empty one where it is none."""
    try:
        parsed = json.loads(body or b"null")
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def text_at(parsed: Mapping[str, Any], name: str) -> str | None:
    value: Any = parsed
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return None if value is None else str(value)
