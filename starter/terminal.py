"""Where commands write: results to standard output, everything else to standard error, JSON without decoration."""

import json
import sys
from typing import Any

from rich.console import Console

WIDTH_OF_A_FILE = 200
"""Columns where the output is not a terminal and has no width of its own."""


def output() -> Console:
    """Standard output."""
    return _console(stderr=False)


def notices() -> Console:
    """Standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_OF_A_FILE
    return Console(stderr=stderr, width=width, highlight=False)


def say(text: str) -> None:
    """One or more lines on standard output, exactly as they are."""
    output().print(text, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """As `say`, on standard error."""
    notices().print(text, markup=False, soft_wrap=True)


def say_json(value: Any) -> None:
    """For programs."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
