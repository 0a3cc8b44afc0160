"""Arguments that typer could not read: the value, and what is allowed, instead of what pydantic says of either."""

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_KINDS = {
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of a sensible size",
    "float_parsing": "a number",
}
_BOUNDS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}


class CommandGroup(TyperGroup):
    """The group around every command: what one of them could not read is told in one way."""

    def invoke(self, ctx: Any) -> Any:
        """As typer does it."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as wrong:
            # Not imported for `--help`; where it was raised, it is there.
            errors = getattr(wrong.__cause__, "errors", None)
            if errors is not None:
                wrong.message = _in_words(errors()[0])
            raise


def _in_words(error: "ErrorDetails") -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"]).removesuffix(".")
    if kind in _KINDS:
        return f"{error['input']!r}: expected {_KINDS[kind]}"
    if kind in _BOUNDS:
        least_or_most, limit = _BOUNDS[kind]
        return f"{error['input']}: expected {least_or_most} {context[limit]:g}"
    return f"{error['input']!r}: {error['msg']}"
