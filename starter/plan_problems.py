"""What is wrong with a plan, said for the person who wrote it: line, field, what is allowed, and what stands there.

Pydantic knows places in the model. Here they are walked along the YAML document and the plan's JSON Schema together,
because a place inside a union of kinds names the kind, which no line of the file does.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rollout import load_test
from rollout.plan import PLAN_RULE, RolloutPlan
from rollout.plan_parts import FLAG_PATTERN, NAME_PATTERN, SECRET_PATTERN, SECRET_VERSION_PATTERN
from rollout.windows import HOURS_PATTERN
from starter.yaml_document import Node

Place = tuple[str | int, ...]
Schema = dict[str, Any]

LONGEST_VALUE = 60
SERVICE_PATTERN = r"^[a-z][a-z0-9-]{0,47}[a-z0-9]$"

PATTERNS_IN_WORDS = {
    NAME_PATTERN: "2 to 40 lower-case letters, digits and hyphens, beginning with a letter",
    FLAG_PATTERN: "1 to 63 lower-case letters, digits and underscores, beginning with a letter",
    SERVICE_PATTERN: "2 to 49 lower-case letters, digits and hyphens, beginning with a letter",
    SECRET_PATTERN: "1 to 255 letters, digits, hyphens and underscores",
    SECRET_VERSION_PATTERN: "`latest` or a version's number, in quotes",
    HOURS_PATTERN: "hours such as 09:00-16:00 or 22:00-04:00",
    r"^/": "a path that begins with /",
    **{pattern: words.removeprefix("must be ") for pattern, words in load_test.PATTERNS_IN_WORDS.items()},
}
_TYPES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of names to values",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of a sensible size",
    "int_type": "must be a whole number",
    "model_attributes_type": "must be a mapping of fields to values",
    "model_type": "must be a mapping of fields to values",
    "string_type": "must be text; a number or true/false that is meant as text needs quotes",
    "tuple_type": "must be a list, such as [a, b]",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `field` is written for people, `place` for programs. Lines count from 1; 0 is none."""

    line: int
    place: Place
    field: str
    problem: str
    given: str | None

    def __str__(self) -> str:
        told = f"{self.field}: {self.problem}" if self.field else self.problem
        quoted_already = self.given is not None and self.given.startswith("'") and self.given in self.problem
        return told if self.given is None or quoted_already else f"{told} (given: {self.given})"


def problems_of(refused: ValidationError, document: Node) -> list[Problem]:
    """All problems of a plan that did not validate, in the order of their lines."""
    errors = [error for error in refused.errors() if not _only_follows(error)]
    found = [problem for error in errors for problem in _problems(error, document)]
    return sorted(found, key=lambda problem: problem.line)


def unknown_time_zone(document: Node, known: Collection[str]) -> Problem:
    """The problem of `windows.time_zone` naming none of the `known` ones."""
    place = ("windows", "time_zone")
    node, _ = _walk(document, place)
    problem = "is no time zone; names are such as UTC, Europe/Berlin or America/New_York"
    return _problem(document, place, problem + _meant(str(node.value) if node else "", sorted(known)))


def problems_at(broken: Iterable[tuple[Place, str]], document: Node) -> list[Problem]:
    """Problems that are known by their places, in the order of their lines."""
    return sorted((_problem(document, place, problem) for place, problem in broken), key=lambda found: found.line)


def is_true_or_false(document: Node, place: Place) -> bool:
    """Whether the file has true or false there."""
    node, _ = _walk(document, place)
    return node is not None and isinstance(node.value, bool)


def _only_follows(error: ErrorDetails) -> bool:
    """Whether a list seems too short only because its entries are wrong, which each of them is told to be."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _problems(error: ErrorDetails, document: Node) -> Iterator[Problem]:
    if error["type"] == PLAN_RULE:
        for place, problem in error["ctx"]["broken"]:
            yield _problem(document, tuple(place), problem)
        return
    place, schema = _real_place(error["loc"])
    match error["type"]:
        case "extra_forbidden":
            yield _problem(document, place, _unknown_field(str(place[-1]), _fields(schema)), with_value=False)
        case "missing":
            yield _problem(document, place, f"is missing: {_wanted(schema)}")
        case "union_tag_invalid":
            discriminator = error["ctx"]["discriminator"].strip("'")
            kinds = _kinds(schema)
            yield _problem(document, (*place, discriminator), _one_of(error["ctx"]["tag"], kinds))
        case "union_tag_not_found":
            discriminator = error["ctx"]["discriminator"].strip("'")
            yield _problem(document, (*place, discriminator), f"is missing; one of: {', '.join(_kinds(schema))}")
        case _:
            yield _problem(document, place, _in_words(error, schema))


def _in_words(error: ErrorDetails, schema: Schema) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return _one_of(error["input"], [str(value) for value in _resolve(schema).get("enum", ())])
        case "string_pattern_mismatch":
            pattern = context["pattern"]
            return f"must be {PATTERNS_IN_WORDS[pattern]}" if pattern in PATTERNS_IN_WORDS else f"must match {pattern}"
        case "string_too_short" if context["min_length"] == 1:
            return "must not be empty"
        case "string_too_short":
            return f"must have at least {context['min_length']} characters"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "too_short":
            return f"needs at least {context['min_length']} entry"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case kind:
            return _TYPES.get(kind, error["msg"])


def _problem(document: Node, place: Place, problem: str, *, with_value: bool = True) -> Problem:
    node, deepest = _walk(document, place)
    given = _written(node) if with_value and node is not None else None
    return Problem(line=deepest.line, place=place, field=_field(document, place), problem=problem, given=given)


def _written(node: Node) -> str | None:
    match node.value:
        case dict() | list():
            return None
        case None:
            return "nothing"
        case str():
            text = repr(node.value)
        case _:
            text = str(node.value).lower()
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _walk(document: Node, place: Place) -> tuple[Node | None, Node]:
    """The node at a place, if the document has it, and the deepest node on the way there."""
    deepest = document
    for step in place:
        child = deepest.child(step)
        if child is None:
            return None, deepest
        deepest = child
    return deepest, deepest


def _field(document: Node, place: Place) -> str:
    """`stages[canary].soak`: a list's item goes by its name where it has one, by its position from 1 otherwise."""
    written = ""
    for depth, step in enumerate(place):
        if isinstance(step, str):
            written += f".{step}" if written else step
            continue
        item, _ = _walk(document, (*place[: depth + 1], "name"))
        name = item.value if item is not None else None
        written += f"[{name}]" if isinstance(name, str) else f"[{step + 1}]"
    return written


def _one_of(given: object, allowed: Sequence[str]) -> str:
    return f"must be one of: {', '.join(allowed)}{_meant(str(given), allowed)}"


def _unknown_field(name: str, allowed: Sequence[str]) -> str:
    return f"unknown field{_meant(name, allowed)}; allowed here: {', '.join(allowed) or 'none'}"


def _meant(given: str, allowed: Sequence[str]) -> str:
    close = get_close_matches(given, allowed, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


# Along the schema.


@cache
def _plan_schema() -> Schema:
    return RolloutPlan.model_json_schema()


def _resolve(schema: Schema) -> Schema:
    """The schema itself behind references and optional values."""
    while True:
        if "$ref" in schema:
            schema = _plan_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
        elif "anyOf" in schema:
            schema = next(option for option in schema["anyOf"] if option.get("type") != "null")
        else:
            return schema


def _real_place(location: Place) -> tuple[Place, Schema]:
    """A validation error's location without the kinds of unions, and the schema of the value there.

    For an unknown field it is the schema of the mapping around it.
    """
    place: list[str | int] = []
    schema = _resolve(_plan_schema())
    for step in location:
        if "discriminator" in schema:
            kinds = schema["discriminator"]["mapping"]
            if step in kinds:
                schema = _resolve({"$ref": kinds[step]})
                continue
        place.append(step)
        if isinstance(step, int):
            schema = _resolve(schema.get("items", {}))
        elif step in schema.get("properties", {}):
            schema = _resolve(schema["properties"][step])
        elif isinstance(schema.get("additionalProperties"), dict):
            schema = _resolve(schema["additionalProperties"])
    return tuple(place), schema


def _fields(schema: Schema) -> list[str]:
    return list(schema.get("properties", {}))


def _kinds(schema: Schema) -> list[str]:
    return list(schema.get("discriminator", {}).get("mapping", {}))


def _wanted(schema: Schema) -> str:
    if examples := schema.get("examples"):
        return f"for example {' or '.join(map(str, examples))}"
    if options := schema.get("enum"):
        return f"one of {', '.join(map(str, options))}"
    return {"string": "text", "array": "a list", "object": "a mapping", "integer": "a whole number"}[schema["type"]]
