"""What is wrong with one field of something that came from outside, in the words of the rule that it breaks."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

LONGEST_VALUE = 120


def in_plain_words(error: ErrorDetails) -> str:
    """Before what a rule of ours says, pydantic names the kind of exception that said it."""
    return str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]


def in_a_line(invalid: ValidationError) -> str:
    """The first thing that is wrong, and how many others there are."""
    first, *others = invalid.errors()
    place = ".".join(map(str, first["loc"]))
    said = f"{place}: {in_plain_words(first)}" if place else in_plain_words(first)
    return f"{said}, and {len(others)} more" if others else said


def shown(value: object) -> str:
    """A value as it was written, but not at any length."""
    try:
        text = repr(value)
    except ValueError:  # of a number with more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def truth_for_a_number(given: Mapping[str, object]) -> str:
    """The first field that holds `true` or `false`, which pydantic takes for the numbers 1 and 0; or nothing."""
    for name, value in given.items():
        if any(isinstance(number, bool) for number in (value if isinstance(value, list | tuple) else (value,))):
            return f"{name}: a number is expected, got {shown(value)}"
    return ""
