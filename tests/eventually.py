"""Waiting, in tests that have no event loop, for what other processes will make true."""

import time
from collections.abc import Callable

from tests.patient_http import PATIENCE_SECONDS

BETWEEN_LOOKS_SECONDS = 0.02


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it held within `PATIENCE_SECONDS`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(BETWEEN_LOOKS_SECONDS)
    return True
