"""Numbers of projects: the real ones cannot be derived from an id; these are at least always the same."""

from zlib import crc32

_SMALLEST = 10**11  # of twelve digits, as the real ones have


def project_number(project: str) -> int:
    """The number of a project that is named by its id; of one that is named by its number, that number."""
    return int(project) if project.isdecimal() else _SMALLEST + crc32(project.encode())
