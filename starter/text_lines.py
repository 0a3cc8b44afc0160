"""Lines of a file that a person names: one that never ends must not be read until memory is gone."""

from collections.abc import Iterator
from pathlib import Path

from starter.outcome import refused

LONGEST_LINE = 1_000_000
"""Characters; an interval has some hundreds, with every bucket of a wide histogram some thousands."""


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a file, without their ends and a byte order mark.

    Raises:
        CommandEnds: a line is longer than any that means something.
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    with path.open(encoding="utf-8-sig") as file:
        number = 1
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise refused(f"{path}: line {number}: is longer than {LONGEST_LINE:,} characters, which none may be")
            yield line.rstrip("\r\n")
            number += 1
