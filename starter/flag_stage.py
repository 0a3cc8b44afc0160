"""The stages of a flag by the names that everybody knows."""

from enum import StrEnum


class FlagStage(StrEnum):
    """The stages by the names that everybody knows, with the shares of the standard plan."""

    OFF = "off"
    INTERNAL = "internal"
    CANARY = "canary"
    STAGED = "staged"
    FULL = "full"
