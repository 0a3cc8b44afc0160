"""From a write in the flag store to many application processes: how long until each of them answers off.

    python -m bench.flag_propagation follow URL     one application: prints a line per change it shows

The clock is the system's monotonic one, which all processes of a Linux machine share.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import IO

from flagstore.answers import Happening
from flagstore.client import Flags
from flagstore.store import FlagStore, connect
from local.redis_server import RedisServer
from rollout.flags import Audience, Exposure, FlagSnapshot

ENVIRONMENT, GROUP, FLAG = "bench", "bench", "request_isolation"
OFF = Exposure(exposure="off", bp=0, stage="off")
CANARY = Exposure(exposure="percent", bp=1_000, stage="canary")


def propagation(processes: int, writes: int) -> list[float]:
    """Seconds from right before each emergency's write until each process showed it: processes × writes values."""
    with tempfile.TemporaryDirectory(prefix="flag-bench-") as directory:
        server = RedisServer.start(Path(directory))
        command = [sys.executable, "-m", "bench.flag_propagation", "follow", server.url]
        followers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]  # noqa: S603
        try:
            return asyncio.run(_measure(server.url, followers, writes))
        finally:
            for follower in followers:
                follower.terminate()
                follower.wait()
            server.stop()


async def _measure(url: str, followers: Sequence["subprocess.Popen[str]"], writes: int) -> list[float]:
    redis = connect(url)
    store = FlagStore(redis, ENVIRONMENT, GROUP)
    delays: list[float] = []
    for turn in range(writes):
        begun = await store.begin(
            owner=f"bench-{turn}",
            by="bench",
            flags=[FLAG],
            audience=Audience(domains=(), users=()),
            cohort=None,
            ladder=(OFF, CANARY),
            candidates={},
        )
        await store.set_exposures({FLAG: CANARY}, fence=begun.epoch, by="bench", reason="bench")
        for follower in followers:
            _until(follower, epoch=begun.epoch, latch=False)
        written = time.monotonic()
        reply = await store.emergency(by="bench", reason="bench")
        delays += [_until(follower, epoch=reply.epoch, latch=True) - written for follower in followers]
        await store.rearm(epoch=reply.epoch, by="bench", reason="bench")
    await redis.aclose()
    return delays


def _until(follower: "subprocess.Popen[str]", *, epoch: int, latch: bool) -> float:
    """When this application showed the wanted state, by its own word."""
    lines: IO[str] | None = follower.stdout
    assert lines is not None  # noqa: S101
    for line in lines:
        shown = json.loads(line)
        if shown["epoch"] >= epoch and shown["latch"] is latch and shown["on"] is not latch:
            return float(shown["at"])
    raise AssertionError("an application ended before it had seen the write")


def follow(url: str) -> None:
    """One application: says what it shows, whenever that changes, until it is ended."""

    def tell(_happening: Happening, snapshot: FlagSnapshot | None, _changed: tuple[str, ...]) -> None:
        at = time.monotonic()
        shown = snapshot.flags.get(FLAG, OFF) if snapshot else OFF
        on = shown.exposure != "off" and not (snapshot and snapshot.latch)
        known = {"epoch": snapshot.epoch, "latch": snapshot.latch} if snapshot else {"epoch": 0, "latch": False}
        sys.stdout.write(json.dumps({"at": at, "on": on} | known) + "\n")
        sys.stdout.flush()

    with Flags(url, ENVIRONMENT, GROUP, listener=tell):
        Event().wait()


if __name__ == "__main__":
    follow(sys.argv[2])
