"""What an application is answered that asks from many threads, asks nonsense, or asks flags that are closed."""

import asyncio
import logging
import threading
import time

import pytest

from flagstore.store import FlagStore
from local.redis_server import RedisServer
from tests.flagstore.ground import (
    FULL,
    GROUP,
    INTERNAL,
    KIM,
    begin,
    climb,
    flags_by,
    has_read,
    to,
)
from tests.flagstore.waiting import AT_MOST_SECONDS, until


async def test_any_number_of_threads_and_tasks_ask_at_once(server: RedisServer, store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await to(store, INTERNAL, fence)
    flags = flags_by(server.url)
    answered: list[list[bool]] = []

    def ask_until_it_is_off() -> None:
        answers = [True]
        while answers[-1]:
            answers.append(flags.is_enabled("basket", *KIM))
        answers.extend(flags.is_enabled("basket", *KIM) for _ in range(1_000))
        answered.append(answers)

    with flags:
        threads = [threading.Thread(target=ask_until_it_is_off) for _ in range(8)]
        for thread in threads:
            thread.start()
        tasks = [until(lambda: not flags.is_enabled("basket", *KIM)) for _ in range(20)]
        await store.emergency(by="kim", reason="down")
        await asyncio.gather(*tasks)
        for thread in threads:
            await asyncio.to_thread(thread.join, 15)

    assert len(answered) == 8
    assert not any(any(answers[-1_000:]) for answers in answered)


async def test_a_question_that_makes_no_sense_is_off_and_told_once(
    server: RedisServer, store: FlagStore, caplog: pytest.LogCaptureFixture
) -> None:
    fence = (await begin(store)).epoch
    await climb(store, FULL, fence)
    async with flags_by(server.url) as flags:
        await until(lambda: has_read(flags))
        with caplog.at_level(logging.ERROR, "flagstore"):
            answers = [flags.is_enabled("basket", 42) for _ in range(3)]  # type: ignore[arg-type]

    assert answers == [False] * 3
    assert len(caplog.records) == 1


async def test_flags_that_were_closed_are_off(server: RedisServer, store: FlagStore) -> None:
    fence = (await begin(store)).epoch
    await climb(store, FULL, fence)
    flags = flags_by(server.url)
    with flags:
        assert flags.is_enabled("basket", *KIM)

    assert not flags.is_enabled("basket", *KIM)
    assert flags.details("basket", *KIM).reason == "NOT_READY"


async def test_flags_that_are_closed_while_they_are_still_connecting_leave_no_thread(
    server: RedisServer, store: FlagStore
) -> None:
    await begin(store)
    for _ in range(50):
        with flags_by(server.url):
            pass
        assert not [thread for thread in threading.enumerate() if thread.name == f"flags {GROUP}"]


async def test_a_listener_that_asks_while_the_flags_are_closed_is_answered_off(
    server: RedisServer, store: FlagStore
) -> None:
    fence = (await begin(store)).epoch
    await climb(store, FULL, fence)
    called, released = threading.Event(), threading.Event()
    answers: list[bool] = []

    def ask(*_: object) -> None:
        called.set()
        released.wait(AT_MOST_SECONDS)
        answers.append(flags.is_enabled("basket", *KIM))

    flags = flags_by(server.url, listener=ask)
    await asyncio.to_thread(flags.start)
    await until(called.is_set)
    closing = asyncio.create_task(asyncio.to_thread(flags.close))
    # An answer that is renewed, not one from memory, is what could wait for the closing.
    await until(lambda: time.monotonic() > flags._view.good_until)
    released.set()
    await closing

    assert answers
    assert not any(answers)
