"""Records of numbers as text whose length their size hardly changes: what is stored of a state between two intervals.

A float takes eight bytes whatever its digits, a whole number seven bits to the byte; the bytes are written in base 64.
Nothing is rounded: what is read is what was written, to the last bit.

A record is its fields, after how many there are: one that is new goes to the end and has a default, and what was
written before there was it is read with that.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter, itemgetter
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

_FIRST = datetime.min.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CONTINUED, _SEVEN_BITS = 0x80, 0x7F


def packed(value: Any, kind: Any) -> str:
    """A value of that type: numbers, times, and what dataclasses, tuples and alternatives make of them; none below 0
    but floats.
    """
    floats: list[float] = []
    wholes: list[int] = []
    _form_of(kind).write(value, floats, wholes)
    whole_bytes = bytearray()
    for whole in (len(floats), *wholes):
        left = whole
        while left > _SEVEN_BITS:
            whole_bytes.append(left & _SEVEN_BITS | _CONTINUED)
            left >>= 7
        whole_bytes.append(left)
    return b64encode(whole_bytes + struct.pack(f"<{len(floats)}d", *floats)).decode()


def unpacked(text: str, kind: Any) -> Any:
    """The value that `packed` wrote.

    Raises:
        ValueError: it wrote no such text, or a record has more fields than are known.
    """
    try:
        stored = b64decode(text, validate=True)
        count, begin = _whole(stored, 0)
        end = len(stored) - 8 * count
        wholes = _wholes(stored, begin, end)
        floats = iter(struct.unpack_from(f"<{count}d", stored, end))
        value = _form_of(kind).read(floats, wholes)
    except (StopIteration, IndexError, TypeError, OverflowError, struct.error) as problem:
        raise ValueError(f"no packed {kind}: {problem!r}") from None
    if next(floats, None) is not None or next(wholes, None) is not None:
        raise ValueError(f"no packed {kind}: numbers are left over")
    return value


def _wholes(stored: bytes, begin: int, end: int) -> Iterator[int]:
    while begin < end:
        whole, begin = _whole(stored, begin)
        yield whole


def _whole(stored: bytes, at: int) -> tuple[int, int]:
    """The whole number that begins there, and where the next one does."""
    whole = shift = 0
    while stored[at] & _CONTINUED:
        whole |= (stored[at] & _SEVEN_BITS) << shift
        shift, at = shift + 7, at + 1
    return whole | stored[at] << shift, at + 1


class _Form(NamedTuple):
    """How values of one type are taken apart, and put together again."""

    write: Callable[[Any, list[float], list[int]], None]
    read: Callable[[Iterator[float], Iterator[int]], Any]


@lru_cache(maxsize=64)
def _form_of(kind: Any) -> _Form:
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        return _of_any_length(arguments[0]) if arguments[1:] == (...,) else _of_several(arguments)
    if get_origin(kind) in (Union, UnionType):
        return _of_one_of(arguments)
    if is_dataclass(kind) or issubclass(kind, BaseModel):
        return _of_record(kind)
    return _PLAIN[kind]


def _of_any_length(kind: Any) -> _Form:
    form = _form_of(kind)

    def write(values: tuple[Any, ...], floats: list[float], wholes: list[int]) -> None:
        wholes.append(len(values))
        if kind is float:
            floats.extend(values)
            return
        for value in values:
            form.write(value, floats, wholes)

    return _Form(write, lambda floats, wholes: tuple([form.read(floats, wholes) for _ in range(next(wholes))]))


def _of_several(kinds: tuple[Any, ...]) -> _Form:
    write, read = _of_parts(kinds, itemgetter, range(len(kinds)))
    return _Form(write, lambda floats, wholes: tuple(read(floats, wholes, len(kinds))))


def _of_one_of(kinds: tuple[Any, ...]) -> _Form:
    forms = [_form_of(kind) for kind in kinds]
    places = {kind: place for place, kind in enumerate(kinds) if get_origin(kind) is None}

    def write(value: Any, floats: list[float], wholes: list[int]) -> None:
        # A tuple has no type of its own that says what is in it; no alternatives here are two of them.
        place = places.get(type(value), 0)
        wholes.append(place)
        forms[place].write(value, floats, wholes)

    return _Form(write, lambda floats, wholes: forms[next(wholes)].read(floats, wholes))


def _of_record(kind: Any) -> _Form:
    hints = get_type_hints(kind)
    names = list(kind.model_fields) if issubclass(kind, BaseModel) else [each.name for each in fields(kind)]
    write_parts, read_parts = _of_parts(tuple(hints[name] for name in names), attrgetter, names)

    def write(record: Any, floats: list[float], wholes: list[int]) -> None:
        wholes.append(len(names))
        write_parts(record, floats, wholes)

    def read(floats: Iterator[float], wholes: Iterator[int]) -> Any:
        known = next(wholes)
        if known > len(names):
            raise ValueError(f"{kind.__name__} has {len(names)} fields, got {known}")
        return kind(**dict(zip(names, read_parts(floats, wholes, known), strict=False)))

    return _Form(write, read)


def _of_parts(
    kinds: tuple[Any, ...], getter: Callable[..., Callable[[Any], Any]], names: Sequence[Any]
) -> tuple[Callable[[Any, list[float], list[int]], None], Callable[[Iterator[float], Iterator[int], int], list[Any]]]:
    """How parts of these types are written, and how the first so many of them are read.

    Those that are plain numbers go first, all of them at once: a look at a gate writes some hundred.
    """
    forms = [_form_of(kind) for kind in kinds]
    at_once = {plain: [place for place, kind in enumerate(kinds) if kind is plain] for plain in (float, int)}
    others = [place for place, kind in enumerate(kinds) if kind not in at_once]
    all_floats, all_wholes, all_others = (
        _several_of(getter, [names[place] for place in places]) for places in (*at_once.values(), others)
    )
    writes = [forms[place].write for place in others]
    order = [*at_once[float], *at_once[int], *others]

    def write(whole: Any, floats: list[float], wholes: list[int]) -> None:
        floats.extend(all_floats(whole))
        wholes.extend(all_wholes(whole))
        for write_one, value in zip(writes, all_others(whole), strict=True):
            write_one(value, floats, wholes)

    def read(floats: Iterator[float], wholes: Iterator[int], known: int) -> list[Any]:
        values: list[Any] = [None] * known
        for place in order:
            if place < known:
                values[place] = forms[place].read(floats, wholes)
        return values

    return write, read


def _several_of(getter: Callable[..., Callable[[Any], Any]], names: list[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """As `attrgetter` or `itemgetter`, and a tuple of one or none too."""
    if len(names) > 1:
        return getter(*names)
    if not names:
        return lambda _: ()
    only = getter(*names)
    return lambda whole: (only(whole),)


_PLAIN: dict[Any, _Form] = {
    float: _Form(lambda value, floats, _: floats.append(value), lambda floats, _: next(floats)),
    int: _Form(lambda value, _, wholes: wholes.append(value), lambda _, wholes: next(wholes)),
    bool: _Form(lambda value, _, wholes: wholes.append(int(value)), lambda _, wholes: bool(next(wholes))),
    NoneType: _Form(lambda _value, _floats, _wholes: None, lambda _floats, _wholes: None),
    datetime: _Form(
        lambda value, _, wholes: wholes.append((value - _FIRST) // _MICROSECOND),
        lambda _, wholes: _FIRST + next(wholes) * _MICROSECOND,
    ),
}
