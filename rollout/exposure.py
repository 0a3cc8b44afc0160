"""How a plan writes who sees the features of a stage: `off`, an audience's name, `10%`, or `full`; per flag or for all.

The parsed form maps a flag's name, or `*` for every flag, to `off`, an audience's name, or a share (full is 1.0).
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

from rollout.flags import Exposure
from rollout.quantity import format_share, parse_share

OFF = "off"
FULL = 1.0
_WHO = {OFF: "nobody", "full": "everybody", "0 % of the traffic": "nobody"}
EVERY_FLAG = "*"
BASIS_POINTS = 10_000

FlagExposure = str | float


def parse_flag_exposure(written: object) -> FlagExposure:
    if written == "full":
        return FULL
    if isinstance(written, str) and written.endswith("%"):
        share = parse_share(written)
    elif isinstance(written, str) and written:
        return written
    else:
        raise ValueError("an exposure is off, an audience's name, a percentage such as 10%, or full")
    if not 0 < share <= 1:
        raise ValueError("a percentage of users is above 0% and at most 100%; for nobody write off")
    return share


def parse_stage_exposure(written: object) -> dict[str, FlagExposure]:
    if isinstance(written, Mapping):
        return {str(flag): parse_flag_exposure(exposure) for flag, exposure in written.items()}
    return {EVERY_FLAG: parse_flag_exposure(written)}


def format_flag_exposure(exposure: FlagExposure) -> str:
    if isinstance(exposure, str):
        return exposure
    return "full" if exposure == FULL else format_share(exposure)


def format_stage_exposure(exposure: Mapping[str, FlagExposure]) -> object:
    written = {flag: format_flag_exposure(value) for flag, value in exposure.items()}
    return written[EVERY_FLAG] if set(written) == {EVERY_FLAG} else written


_WRITTEN = {
    "type": "string",
    "description": "off, an audience's name, a percentage of users, or full",
    "examples": ["off", "internal", "10%", "full"],
}

StageExposure = Annotated[
    dict[str, FlagExposure],
    PlainSerializer(format_stage_exposure),
    WithJsonSchema({"anyOf": [_WRITTEN, {"type": "object", "additionalProperties": _WRITTEN}]}),
]


def exposure_of(exposure: Mapping[str, FlagExposure], flag: str) -> FlagExposure:
    """What a stage asks for one flag. A flag that a per-flag exposure does not name stays off."""
    return exposure.get(flag, exposure.get(EVERY_FLAG, OFF))


def order_of(exposure: Mapping[str, FlagExposure], flag: str) -> float:
    """Off, then audiences, then percentages by size: a number that rises with how many people see the flag."""
    value = exposure_of(exposure, flag)
    if isinstance(value, str):
        return -1.0 if value == OFF else 0.0
    return value


def treated_share(exposure: Mapping[str, FlagExposure], flags: Iterable[str]) -> float:
    """The largest share of users that any flag of the stage reaches; an audience counts as a sliver above nobody."""
    shares = [order_of(exposure, flag) for flag in flags]
    largest = max(shares, default=-1.0)
    return largest if largest != 0 else 1 / BASIS_POINTS


def document_of(value: FlagExposure, stage: str) -> Exposure:
    """The flag document that brings a stage's exposure about."""
    if isinstance(value, str):
        return Exposure(exposure="off" if value == OFF else "audience", bp=0, stage=stage)
    return Exposure(exposure="percent", bp=round(value * BASIS_POINTS), stage=stage)


def in_words(exposure: Mapping[str, FlagExposure]) -> str:
    written = format_stage_exposure(exposure)
    if isinstance(written, dict):
        return ", ".join(f"{flag} {value}" for flag, value in written.items())
    return str(written)


def who_sees(exposure: str) -> str:
    """An exposure as it is said in a sentence: `nobody`, `internal`, `10%`, `everybody`."""
    return _WHO.get(exposure, exposure)
