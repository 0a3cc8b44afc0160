"""Striking the parts of a local stack: killed as by a crash and started again on their ports with their data.

The sandbox keeps its world in memory, and a new world would not be the same Google: it is frozen and thawed instead.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping

from chaos.scenario import Blow, PartName, Scenario
from local.stack import LocalStack


async def strike_all(stack: LocalStack, scenario: Scenario) -> None:
    """Every blow at its moment; returns when everything runs again."""
    temporal_runs = asyncio.Event()
    temporal_runs.set()

    async def worker(down: float) -> None:
        if stack.worker is not None:
            await asyncio.to_thread(stack.worker.kill)
        await asyncio.sleep(down)
        # A worker needs its server to start, as any supervisor would find out by trying again.
        await temporal_runs.wait()
        await asyncio.to_thread(stack.start_worker)

    async def redis(down: float) -> None:
        await asyncio.to_thread(stack.redis.kill)
        await asyncio.sleep(down)
        await asyncio.to_thread(stack.restart_redis)

    async def temporal(down: float) -> None:
        temporal_runs.clear()
        await asyncio.to_thread(stack.temporal.kill)
        await asyncio.sleep(down)
        await asyncio.to_thread(stack.restart_temporal)
        temporal_runs.set()

    async def sandbox(down: float) -> None:
        os.kill(stack.sandbox.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(down)
        finally:
            os.kill(stack.sandbox.pid, signal.SIGCONT)

    struck: Mapping[PartName, Callable[[float], Awaitable[None]]] = {
        "worker": worker,
        "redis": redis,
        "temporal": temporal,
        "sandbox": sandbox,
    }

    async def strike(blow: Blow) -> None:
        await asyncio.sleep(blow.at)
        await struck[blow.part](blow.down)

    async with asyncio.TaskGroup() as blows:
        for blow in scenario.blows:
            blows.create_task(strike(blow))
