"""A JSON text that a person or a program wrote: the value it holds, or what is wrong with it and in which field.

Python's own words of what it cannot read tell of its recursion, and of a setting of the interpreter.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from rollout.field_problems import shown

DEEPEST = 20
MOST_DIGITS = 300
"""No number that is measured has more, and Python's floats hold none that does."""

_TOO_LONG = re.compile(rf"(?<![\d.])\d{{{MOST_DIGITS + 1},}}")
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:')
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


class _StandsTwiceError(ValueError):
    """Of two values under one name, only the writer knows which was meant."""


def read_json(text: str) -> Any:
    """The value.

    Raises:
        ValueError: it is no JSON, is nested deeper than anything meant, names a field of an object twice, or holds a
            number of hundreds of digits.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _StandsTwiceError:
        raise
    except RecursionError:
        _refuse(text, _too_deep(text), f"nested deeper than {DEEPEST} levels")
    except json.JSONDecodeError as problem:
        raise ValueError(f"not JSON: {problem}") from None
    except ValueError:
        long = _TOO_LONG.search(_without_texts(text))
        _refuse(text, long.start() if long else 0, f"a number of more than {MOST_DIGITS} digits")


def names_each_field_once(text: str, value: object) -> bool:
    """Whether a value that any parser made of a text is certain to lack none of its fields; `read_json` knows the rest.

    A field that stands twice leaves the marks of a name that is nowhere in the value.
    """
    return text.count('"') == 2 * _texts(value)


def _texts(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_texts, value.values()))
    return isinstance(value, str)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _StandsTwiceError(f"{name}: stands twice, as {shown(found[name])} and as {shown(value)}")
        found[name] = value
    return found


def _refuse(text: str, position: int, problem: str) -> NoReturn:
    names = _NAME.findall(text, 0, position)
    raise ValueError(f"{names[-1]}: {problem}" if names else problem)


def _too_deep(text: str) -> int:
    """Where it is nested deeper than is allowed."""
    depth = 0
    for found in _TEXT_OR_BRACKET.finditer(text):
        if found[0] in "[{":
            depth += 1
        elif found[0] in "]}":
            depth -= 1
        if depth > DEEPEST:
            return found.start()
    return 0


def _without_texts(text: str) -> str:
    """Blanks where texts stand, so that digits in a text are none of a number."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda found: " " * len(found[0]), text)
