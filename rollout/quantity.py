"""Quantities as people write them in a plan: `48h`, `99.5%`, `100ms`.

Each type reads the written form, keeps a number, and writes the same form back, so that a plan survives
a round trip through JSON. A bare number is refused where its unit would be a guess.
"""

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_serializer
from pydantic import model_validator as _model_validator

DURATION_PATTERN = r"^\d+(\.\d+)?(ms|s|m|h|d)( ?\d+(\.\d+)?(ms|s|m|h|d))*$"
SHARE_PATTERN = r"^[+-]?\d+(\.\d+)?%$"

LONGEST_DURATION = timedelta(days=3660)
LARGEST_SHARE = 100.0

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
MILLISECONDS = 1000


def parse_duration(written: object) -> timedelta:
    """`48h`, `90s`, `1h 30m` to a timedelta; anything else is a ValueError that says what is allowed."""
    if isinstance(written, timedelta):
        return written
    if not isinstance(written, str) or not re.fullmatch(DURATION_PATTERN, written, re.ASCII):
        raise ValueError("a duration is a number with a unit: 500ms, 90s, 15m, 48h, 7d")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(written))
    if seconds > LONGEST_DURATION.total_seconds():
        raise ValueError(f"a duration is at most {LONGEST_DURATION.days}d")
    return timedelta(seconds=seconds)


def format_duration(value: timedelta) -> str:
    """The shortest exact form with at most two units: `48h`, `1h30m`, `1.5s`."""
    milliseconds = round(value.total_seconds() * MILLISECONDS)
    for unit in ("h", "m", "s"):
        size = _SECONDS[unit] * MILLISECONDS
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // int(size)}{unit}"
    seconds = milliseconds / MILLISECONDS
    if seconds < 1:
        return f"{milliseconds}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{number:g}{unit}" for number, unit in parts if number)


def parse_share(written: object) -> float:
    """`99.5%` to 0.995; a bare number is refused because 1 could mean 1 % or 100 %."""
    if not isinstance(written, str) or not re.fullmatch(SHARE_PATTERN, written, re.ASCII):
        raise ValueError("a share is written with its percent sign: 10%, 99.5%")
    share = float(written[:-1]) / 100
    if abs(share) > LARGEST_SHARE:
        raise ValueError(f"a share is at most {format_share(LARGEST_SHARE)}")
    return share


def format_share(value: float) -> str:
    return f"{value * 100:.10g}%"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["60s", "48h"]}),
]

Share = Annotated[
    float,
    BeforeValidator(parse_share),
    PlainSerializer(format_share, return_type=str),
    WithJsonSchema({"type": "string", "pattern": SHARE_PATTERN, "examples": ["10%", "99.5%"]}),
]

Unit = Literal["share", "ms", "number"]


class Limit(BaseModel):
    """A bound with its unit: `99.5%` (a share), `100ms` (milliseconds) or a plain number."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={"type": ["string", "number"], "examples": ["99.5%", "100ms", 0.9]},
    )

    value: float = Field(allow_inf_nan=False)
    unit: Unit

    @_model_validator(mode="before")
    @classmethod
    def _from_written(cls, written: object) -> object:
        if isinstance(written, dict | Limit):
            return written
        if isinstance(written, int | float) and not isinstance(written, bool):
            return {"value": float(written), "unit": "number"}
        if isinstance(written, str) and written.endswith("%"):
            return {"value": parse_share(written), "unit": "share"}
        if isinstance(written, str) and re.fullmatch(DURATION_PATTERN, written, re.ASCII):
            return {"value": parse_duration(written).total_seconds() * MILLISECONDS, "unit": "ms"}
        raise ValueError("a limit is a share (99.5%), a time (100ms) or a plain number (0.9)")

    @model_serializer
    def _written(self) -> str | float:
        return self.value if self.unit == "number" else str(self)

    def __str__(self) -> str:
        match self.unit:
            case "share":
                return format_share(self.value)
            case "ms":
                return f"{self.value:g}ms"
            case "number":
                return f"{self.value:g}"
