"""How a command ends: with a code that a program can act on, and a sentence that a person can."""

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    """The rollout ended badly, something could not be verified, or an outside system failed."""
    REFUSED = 2
    """Bad input, or a command that cannot be carried out now. Nothing was changed."""
    LEFT = 130
    """A person pressed Ctrl-C."""


class CommandEnds(Exception):  # noqa: N818  (an outcome, not always an error)
    """Ends a command with a code and, for the standard error output, a text."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def refused(text: str) -> CommandEnds:
    return CommandEnds(ExitCode.REFUSED, text)


def failed(text: str) -> CommandEnds:
    return CommandEnds(ExitCode.FAILED, text)
