"""Striking the parts of a local stack: killed as by a crash and started again on their ports with their data."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from chaos.scenario import Blow, PartName, Scenario
from local.child_process import ChildFailed
from local.stack import LocalStack


class _TemporalServer:
    """Whether it runs, and how often it was struck."""

    def __init__(self) -> None:
        self.runs = asyncio.Event()
        self.runs.set()
        self.struck = 0


async def _supervised_start(stack: LocalStack, temporal: _TemporalServer) -> None:
    """A worker needs its server to start: one that was struck meanwhile is a reason to try again, as a supervisor does.

    Raises:
        ChildFailed: the worker ended although nobody had struck its server.
    """
    while True:
        await temporal.runs.wait()
        struck_before = temporal.struck
        try:
            await asyncio.to_thread(stack.start_worker)
        except ChildFailed:
            if temporal.struck == struck_before:
                raise
        else:
            return


async def strike_all(stack: LocalStack, scenario: Scenario) -> None:
    """Every blow at its moment; returns when everything runs again."""
    server = _TemporalServer()

    async def worker(down: float) -> None:
        if stack.worker is not None:
            await asyncio.to_thread(stack.worker.kill)
        await asyncio.sleep(down)
        await _supervised_start(stack, server)

    async def redis(down: float) -> None:
        await asyncio.to_thread(stack.redis.kill)
        await asyncio.sleep(down)
        await asyncio.to_thread(stack.restart_redis)

    async def temporal(down: float) -> None:
        server.struck += 1
        server.runs.clear()
        await asyncio.to_thread(stack.temporal.kill)
        await asyncio.sleep(down)
        await asyncio.to_thread(stack.restart_temporal)
        server.runs.set()

    async def sandbox(down: float) -> None:
        await asyncio.to_thread(stack.sandbox.kill)
        await asyncio.sleep(down)
        await asyncio.to_thread(stack.restart_sandbox)

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
