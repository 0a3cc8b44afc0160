"""`rollout sandbox fault`, as typed, against a sandbox whose revisions are real processes."""

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.sandbox.google import OLD_IMAGE, Google

CHECKOUT = Path(__file__).parents[2]
APP = f"{shlex.quote(sys.executable)} -m sample_app"


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google.started(app_command=APP) as started:
        yield started


async def fault(address: str | None, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROLLOUT_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "starter", "sandbox", "fault", *arguments],
        cwd=CHECKOUT,
        env=environment if address is None else {**environment, "ROLLOUT_SANDBOX_URL": address},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_fault_is_switched_shown_and_taken_back(google: Google) -> None:
    work = f"{(await google.service()).uri}/work"
    address = google.sandbox.http_url
    async with httpx.AsyncClient() as client:
        switched = await fault(address, OLD_IMAGE, "error_rate=1.0", "to=all")
        assert (switched.returncode, switched.stderr) == (0, "")
        assert (await client.get(work)).status_code == 500

        assert (await fault(address)).stdout == f'{OLD_IMAGE}: {{"error_rate": 1.0, "to": "all"}}\n'
        assert (await fault(address, "--clear")).stdout == "no faults\n"
        assert (await client.get(work)).status_code == 200


async def test_what_the_application_refuses_ends_with_code_2_and_its_words(google: Google) -> None:
    ran = await fault(google.sandbox.http_url, OLD_IMAGE, "error_rate=2")

    assert ran.returncode == 2
    assert "error_rate: Input should be less than or equal to 1, got 2" in ran.stderr


@pytest.mark.parametrize("arguments", [(OLD_IMAGE,), (OLD_IMAGE, "error_rate"), ("--all",)])
async def test_words_that_say_no_fault_end_with_code_2_and_say_how(arguments: tuple[str, ...]) -> None:
    ran = await fault("http://127.0.0.1:1", *arguments)

    assert ran.returncode == 2
    assert "rollout sandbox fault IMAGE NAME=VALUE" in ran.stderr


async def test_without_an_address_the_variable_is_named() -> None:
    ran = await fault(None)

    assert ran.returncode == 2
    assert "ROLLOUT_SANDBOX_URL is not set" in ran.stderr


async def test_a_sandbox_that_does_not_answer_ends_with_code_1() -> None:
    assert (await fault("http://127.0.0.1:1")).returncode == 1
