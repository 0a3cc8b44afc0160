"""Timers that say in the Temporal UI what they wait for.

None is ever cancelled on the way: one that nobody waits for any more only wakes the workflow once.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow


async def sleep_for(duration: timedelta, summary: str) -> None:
    """Sleep by the workflow's clock; what is over already starts no timer, as with `asyncio.sleep`."""
    if duration <= timedelta():
        await asyncio.sleep(0)
    else:
        await workflow.sleep(duration, summary=summary)
