"""Applications in processes of their own: their CPU is taken away between requests, or they fork."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flagstore.client import ASLEEP_AFTER
from flagstore.store import FlagStore
from local.redis_server import RedisServer
from tests.flagstore.ground import ENVIRONMENT, GROUP, INTERNAL, begin, to


@asynccontextmanager
async def asking(kind: str, server: RedisServer) -> AsyncIterator[Process]:
    question = ("basket", "user-1", "kim@example.com")
    command = ("-m", "tests.flagstore.asking_application", kind, server.url, ENVIRONMENT, GROUP, *question)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def ask(process: Process, *, first: signal.Signals | None = None) -> str:
    """The answer to one question; a signal is sent when the question is waiting already."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"?\n")
    await process.stdin.drain()
    if first is not None:
        os.kill(process.pid, first)
    return (await process.stdout.readline()).decode().strip()


async def ask_until(process: Process, expected: str) -> None:
    while await ask(process) != expected:
        assert process.returncode is None


@pytest.mark.parametrize("kind", ["plain", "asyncio"])
async def test_a_process_that_slept_through_an_emergency_answers_its_first_question_with_off(
    kind: str, server: RedisServer, store: FlagStore
) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    async with asking(kind, server) as process:
        await ask_until(process, "on")

        os.kill(process.pid, signal.SIGSTOP)
        await store.emergency(by="kim", reason="down")
        # The length of the sleep is what is tried here; nothing is waited for.
        await asyncio.sleep(ASLEEP_AFTER.total_seconds() + 0.2)

        assert await ask(process, first=signal.SIGCONT) == "off"


async def test_a_forked_worker_follows_the_store_by_itself(server: RedisServer, store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    async with asking("forked", server) as process:
        await ask_until(process, "on")

        await store.emergency(by="kim", reason="down")
        await ask_until(process, "off")
        assert [await ask(process) for _ in range(100)] == ["off"] * 100
