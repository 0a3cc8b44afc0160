"""Reading the flag store itself, beside whoever turns the flags off, until it shows them off."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from flagstore import store
from flagstore.connection import STORE_FAILURES
from flagstore.held import Leases
from flagstore.store import DamagedStore, FlagStore
from rollout.wording import duration_in_words
from starter.outcome import failed

FLAGS_MUST_SHOW_WITHIN = timedelta(seconds=5)
"""How long the store may take to show what the rollout has read back already."""
FLAGS_WITHOUT_THE_STORE = (
    f"Applications that have lost the store too turn flags of some users off by themselves after "
    f"{duration_in_words(Leases().partial)}, all flags after {duration_in_words(Leases().full)}."
)
BETWEEN_READS = timedelta(milliseconds=100)


class FlagsReadBack:
    """Begin it once it is known whose flags are meant, and end it in any case. `on`: they were, when last read."""

    def __init__(self, redis_url: str | None, began: float, tell: Callable[[str], None]) -> None:
        """Seconds are counted since `began`, of the monotonic clock. Without a `redis_url` nothing is read."""
        self.on = False
        self._redis_url = redis_url
        self._began = began
        self._tell = tell
        self._enough = asyncio.Event()
        self._reading: asyncio.Task[float | None] | None = None

    def begin(self, environment: str, group: str) -> None:
        """Read from now on; nothing where that was begun before."""
        if self._redis_url is not None and self._reading is None:
            self._reading = asyncio.create_task(self._until_off(self._redis_url, environment, group))

    async def off_soon(self) -> float:
        """After how many seconds the store held the latch and every flag off; waits only briefly for that.

        Raises:
            CommandEnds: it does not show it.
        """
        after = None
        if self._reading is not None:
            done, _ = await asyncio.wait({self._reading}, timeout=FLAGS_MUST_SHOW_WITHIN.total_seconds())
            after = self._reading.result() if done else None
        if after is None:
            raise failed(
                "NOT VERIFIED: the rollout says that it is rolled back, but the flag store, read from here, does not "
                "show its kill switch set with every flag off (ROLLOUT_REDIS_URL)"
            )
        return after

    async def end(self) -> None:
        # Told to stop, not cancelled: on Python 3.11 a read of the store can swallow a cancellation.
        self._enough.set()
        if self._reading is not None:
            await asyncio.wait({self._reading})

    async def _until_off(self, redis_url: str, environment: str, group: str) -> float | None:
        client = store.connect(redis_url)
        try:
            flag_store = FlagStore(client, environment, group)
            answered, damage = True, ""
            while not self._enough.is_set():
                off, found = await _reads_as_off(flag_store)
                after = time.monotonic() - self._began
                if found and not damage:
                    damage = found
                    self._tell(f"{after:6.1f} s  flags: {damage}")
                self.on = off is False
                if off:
                    self._tell(f"{after:6.1f} s  flags: read back from the store, latched, every one off")
                    return after
                if off is None and answered:
                    self._tell(
                        f"{after:6.1f} s  flags: the store does not answer; it goes on being asked.\n"
                        f"          {FLAGS_WITHOUT_THE_STORE}"
                    )
                answered = off is not None
                await asyncio.sleep(BETWEEN_READS.total_seconds())
            return None
        finally:
            await client.aclose()


async def _reads_as_off(flag_store: FlagStore) -> tuple[bool | None, str]:
    """None where the store does not answer; with it what is damaged, which the emergency repairs."""
    try:
        snapshot = await flag_store.read()
    except DamagedStore as damage:
        return False, str(damage)
    except STORE_FAILURES:
        # The store may be the problem; the deadline of the whole command is what ends the reading.
        return None, ""
    return snapshot is not None and snapshot.is_latched_off, ""
