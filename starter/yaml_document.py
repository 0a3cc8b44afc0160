"""A YAML file as plain values that remember their lines. Made for files that people write and strangers may send.

YAML 1.2 core schema: `off`, `yes` and dates are text. No tags, no directives, no duplicate keys, text keys only.
Aliases are allowed in small numbers; size, depth and the number of values are limited, whatever aliases repeat.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_BYTES = 128 * 1024
MAX_DEPTH = 20
MAX_VALUES = 10_000
MAX_ALIASES = 100

Scalar = str | int | float | bool | None

_STANDARD_TAG = "tag:yaml.org,2002:"
_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")},
}
# Numbers longer than any that a plan can mean stay text, and are refused where a number is wanted.
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
_OCTAL = re.compile(r"0o[0-7]{1,18}")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,15}")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]{1,18}(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


class YamlRefused(Exception):  # noqa: N818  (a decision about a file, not an error of the program)
    """The text cannot be read as a document. `line` counts from 1."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


@dataclass(frozen=True)
class Node:
    """A value and the line it stands on, counted from 1; inside a mapping, the line of its key."""

    value: "Scalar | dict[str, Node] | list[Node]"
    line: int

    def plain(self) -> object:
        match self.value:
            case dict():
                return {key: child.plain() for key, child in self.value.items()}
            case list():
                return [child.plain() for child in self.value]
            case _:
                return self.value

    def child(self, step: str | int) -> "Node | None":
        """The entry of a mapping or the item of a list, where there is one."""
        match self.value:
            case dict() if isinstance(step, str):
                return self.value.get(step)
            case list() if isinstance(step, int) and 0 <= step < len(self.value):
                return self.value[step]
            case _:
                return None


def read_document(data: bytes) -> Node:
    """The one document of a YAML file.

    Raises:
        YamlRefused: it is too large, not UTF-8, not YAML 1.2, or uses what is not allowed here.
    """
    if len(data) > MAX_BYTES:
        raise YamlRefused(f"the file is larger than {MAX_BYTES // 1024} kB", 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = data.count(b"\n", 0, failure.start) + 1
        raise YamlRefused("the file is not UTF-8 text", line) from failure
    try:
        events = iter(YAML(typ="safe", pure=True).parse(text))
        return _Reader(events).document()
    except MarkedYAMLError as failure:
        raise YamlRefused(_syntax(failure), _line_of(failure)) from failure
    except YAMLError as failure:
        position = getattr(failure, "position", 0)
        raise YamlRefused("a character that YAML does not allow", text.count("\n", 0, position) + 1) from failure


def _syntax(failure: MarkedYAMLError) -> str:
    parts = [part for part in (failure.context, failure.problem) if part]
    return f"not YAML: {', '.join(parts)}"


def _line_of(failure: MarkedYAMLError) -> int:
    mark = failure.problem_mark or failure.context_mark
    return int(mark.line) + 1 if mark is not None else 1


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1


def resolve(text: str) -> Scalar:
    """What an unquoted scalar means in the core schema of YAML 1.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text, 0)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


class _Reader:
    """Builds nodes from parser events, counting as it goes, so that nothing large is ever built."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._anchors: dict[str, Node] = {}
        self._sizes: dict[int, int] = {}
        self._values = 0
        self._aliases = 0

    def document(self) -> Node:
        next(self._events)
        start = next(self._events)
        if not isinstance(start, DocumentStartEvent):
            raise YamlRefused("the file is empty", 1)
        if start.version not in (None, (1, 2)) or start.tags:
            raise YamlRefused("directives (%YAML, %TAG) are not used in a plan", 1)
        first = next(self._events)
        root = self._node(first, _line(first), depth=1)
        next(self._events)
        following = next(self._events)
        if isinstance(following, DocumentStartEvent):
            raise YamlRefused("a second document begins here; a plan is one document", _line(following))
        return root

    def _node(self, event: Event, line: int, depth: int) -> Node:
        if isinstance(event, AliasEvent):
            return self._repeated(event)
        assert isinstance(event, ScalarEvent | CollectionStartEvent), "the parser gives a node where a node begins"  # noqa: S101
        if event.ctag is not None:
            written = str(event.ctag).replace(_STANDARD_TAG, "!!")
            raise YamlRefused(f"tags such as {written} are not used in a plan", _line(event))
        if depth > MAX_DEPTH:
            raise YamlRefused(f"nested deeper than {MAX_DEPTH} levels", _line(event))
        before = self._values
        self._count(1, event)
        node = Node(self._value(event, depth), line)
        self._sizes[id(node)] = self._values - before
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _value(self, event: ScalarEvent | CollectionStartEvent, depth: int) -> "Scalar | dict[str, Node] | list[Node]":
        if isinstance(event, ScalarEvent):
            unquoted = event.implicit[0]
            return resolve(event.value) if unquoted else str(event.value)
        return self._items(depth) if isinstance(event, SequenceStartEvent) else self._entries(depth)

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, _line(event), depth + 1))
        return items

    def _entries(self, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent) or event.ctag is not None:
                raise YamlRefused("a key is plain text", _line(event))
            key, line = str(event.value), _line(event)
            if key in entries:
                raise YamlRefused(f"key {key!r} stands twice, first on line {entries[key].line}", line)
            entries[key] = self._node(next(self._events), line, depth + 1)
        return entries

    def _repeated(self, event: AliasEvent) -> Node:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise YamlRefused(f"more than {MAX_ALIASES} aliases", _line(event))
        # An anchor becomes known when its value is complete, so that no value can contain itself.
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            raise YamlRefused(f"alias *{event.anchor} repeats nothing that stands above it", _line(event))
        self._count(self._sizes[id(anchored)], event)
        return Node(anchored.value, _line(event))

    def _count(self, values: int, event: Event) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise YamlRefused(f"more than {MAX_VALUES:,} values", _line(event))
