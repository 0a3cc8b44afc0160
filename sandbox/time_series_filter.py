"""Monitoring filters: parsed once into a predicate over a series' labels.

Understood are comparisons (`=`, `!=`) of `metric.type`, `resource.type`, `metric.labels.*` and `resource.labels.*`
with a string or with `starts_with`, `ends_with`, `has_substring`, `one_of` and `monitoring.regex.full_match`, joined
by `AND`, `OR`, `NOT`, parentheses, or nothing (which means AND).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sandbox.rpc_errors import RpcError, refused_value

_FIELD = "filter"
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<word>[A-Za-z_][\w.\-/]*)|(?P<sign>!=|[=(),:]))"""
)
_LABELS = {
    "metric.labels.": "metric",
    "metric.label.": "metric",
    "resource.labels.": "resource",
    "resource.label.": "resource",
}


@dataclass(frozen=True, slots=True)
class SeriesIdentity:
    """What a filter may ask about a series."""

    metric_type: str
    metric_labels: Mapping[str, str]
    resource_type: str
    resource_labels: Mapping[str, str]


Predicate = Callable[[SeriesIdentity], bool]
Text = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class TimeSeriesFilter:
    """`demanded` are labels of the resource that every series it matches has: others need not even be made."""

    metric_type: str
    matches: Predicate
    demanded: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Clause:
    """A part of a filter: what it says of a series, and the resource's labels without which it cannot be true."""

    matches: Predicate
    demanded: Mapping[str, str] = field(default_factory=dict)


@lru_cache(maxsize=512)
def parse_filter(text: str) -> TimeSeriesFilter:
    """Parse a filter for ListTimeSeries, which must settle on one metric type.

    Raises:
        RpcError: INVALID_ARGUMENT, saying where the text stopped making sense.
    """
    parser = _Parser(text)
    whole = parser.expression()
    parser.expect_end()
    if len(parser.metric_types) != 1:
        raise refused_value(_FIELD, text, 'The filter must name exactly one metric type, as metric.type = "…".')
    return TimeSeriesFilter(parser.metric_types[0], whole.matches, whole.demanded)


def label_reader(name: str, *, field: str) -> Callable[[SeriesIdentity], str | None]:
    """What reads `metric.labels.outcome` and the like off a series; None where the series has no such label.

    Raises:
        RpcError: INVALID_ARGUMENT, the name is not one of a series.
    """
    if name == "metric.type":
        return lambda series: series.metric_type
    if name == "resource.type":
        return lambda series: series.resource_type
    for prefix, owner in _LABELS.items():
        if name.startswith(prefix):
            label = name.removeprefix(prefix)
            if owner == "metric":
                return lambda series: series.metric_labels.get(label)
            return lambda series: series.resource_labels.get(label)
    raise refused_value(field, name, "It is neither metric.type, resource.type, metric.labels.* nor resource.labels.*.")


class _Parser:
    """Recursive descent over the tokens; OR binds tighter than AND, as in Monitoring's grammar of filters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self.metric_types: list[str] = []

    def expression(self) -> _Clause:
        clause = self._alternatives()
        while self._peek() not in (None, ")"):
            if self._peek() == "AND":
                self._at += 1
            clause = _both(clause, self._alternatives())
        return clause

    def expect_end(self) -> None:
        if self._peek() is not None:
            raise self._confused()

    def _alternatives(self) -> _Clause:
        clause = self._term()
        while self._peek() == "OR":
            self._at += 1
            clause = _either(clause, self._term())
        return clause

    def _term(self) -> _Clause:
        token = self._next()
        if token == "NOT":  # noqa: S105  (a word of the grammar)
            negated = self._term().matches
            return _Clause(lambda series: not negated(series))
        if token == "(":  # noqa: S105
            inner = self.expression()
            self._demand(")")
            return inner
        return self._comparison(token)

    def _comparison(self, name: str) -> _Clause:
        read = label_reader(name, field=_FIELD)
        sign = self._next()
        if sign not in ("=", "!="):
            raise self._confused()
        value = self._next()
        if name == "metric.type" and sign == "=" and _is_string(value):
            self.metric_types.append(_unquoted(value))
        fits = self._text_test(value)
        if sign == "!=":
            return _Clause(lambda series: (found := read(series)) is None or not fits(found))
        prefix, _, label = name.rpartition(".")
        demanded = {label: _unquoted(value)} if _LABELS.get(f"{prefix}.") == "resource" and _is_string(value) else {}
        return _Clause(lambda series: (found := read(series)) is not None and fits(found), demanded)

    def _text_test(self, token: str) -> Text:
        if _is_string(token):
            wanted = _unquoted(token)
            return lambda found: found == wanted
        make = _FUNCTIONS.get(token)
        if make is None:
            raise self._confused()
        return make(self._arguments())

    def _arguments(self) -> list[str]:
        self._demand("(")
        arguments = [self._string()]
        while self._peek() == ",":
            self._at += 1
            arguments.append(self._string())
        self._demand(")")
        return arguments

    def _string(self) -> str:
        token = self._next()
        if not _is_string(token):
            raise self._confused()
        return _unquoted(token)

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise self._confused()
        self._at += 1
        return token

    def _demand(self, token: str) -> None:
        if self._next() != token:
            raise self._confused()

    def _confused(self) -> RpcError:
        near = " ".join(self._tokens[max(0, self._at - 1) : self._at + 2])
        return refused_value(_FIELD, self._text, f"The filter could not be parsed near '{near}'.")


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    rest = text.rstrip()
    while at < len(rest):
        match = _TOKEN.match(rest, at)
        if match is None:
            raise refused_value(_FIELD, text, f"The filter could not be parsed at character {at}.")
        tokens.append(match.group().strip())
        at = match.end()
    return tokens


def _is_string(token: str) -> bool:
    return token[0] in "\"'"


def _unquoted(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1])


def _both(left: _Clause, right: _Clause) -> _Clause:
    one, other = left.matches, right.matches
    return _Clause(lambda series: one(series) and other(series), {**left.demanded, **right.demanded})


def _either(left: _Clause, right: _Clause) -> _Clause:
    one, other = left.matches, right.matches
    return _Clause(lambda series: one(series) or other(series))


_FUNCTIONS: dict[str, Callable[[list[str]], Text]] = {
    "starts_with": lambda arguments: lambda found: found.startswith(arguments[0]),
    "ends_with": lambda arguments: lambda found: found.endswith(arguments[0]),
    "has_substring": lambda arguments: lambda found: arguments[0] in found,
    "one_of": lambda arguments: lambda found: found in arguments,
    "monitoring.regex.full_match": lambda arguments: lambda found: re.fullmatch(arguments[0], found) is not None,
}
