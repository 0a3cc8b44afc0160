"""Processes that descend from one of ours: which are load tests, and when one has ended."""

import os
import select
from pathlib import Path

SECONDS_TO_END = 30.0


def load_tests_of(pid: int) -> list[int]:
    """Children of a process that run a load test."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"loadtest" in Path(f"/proc/{child}/cmdline").read_bytes()]


def ends(pid: int) -> bool:
    """Wait until a process has ended; False if it does not in good time."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], SECONDS_TO_END)[0])
    finally:
        os.close(watched)
