"""Waiting for what other threads and processes will make true."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

AT_MOST_SECONDS = 15.0
BETWEEN_LOOKS_SECONDS = 0.005


async def until(condition: Callable[[], bool]) -> None:
    """Fails when the condition has not come true after `AT_MOST_SECONDS`."""
    deadline = time.monotonic() + AT_MOST_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        await asyncio.sleep(BETWEEN_LOOKS_SECONDS)


async def until_all(conditions: Callable[[], list[Coroutine[Any, Any, bool]]]) -> None:
    """As `until`, for conditions that have to be asked for."""
    deadline = time.monotonic() + AT_MOST_SECONDS
    while not all(await asyncio.gather(*conditions())):
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        await asyncio.sleep(BETWEEN_LOOKS_SECONDS)
