"""`rollout sandbox fault`, as typed: faults of Google's APIs, and of the real processes behind revisions."""

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from google.api_core.exceptions import GoogleAPICallError, ServiceUnavailable

from sandbox.behaviours import Behaviour
from starter import sandbox_commands
from starter.outcome import CommandEnds, ExitCode
from tests import patient_http
from tests.checkout import CHECKOUT
from tests.sandbox.google import CANDIDATE, NEW_IMAGE, OLD_IMAGE, Google, result_of, template_of

APP = f"{shlex.quote(sys.executable)} -m sample_app"

Asked = Callable[..., Awaitable[str]]


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google.started(app_command=APP) as started:
        yield started


@pytest.fixture
async def users() -> AsyncIterator[Google]:
    """A sandbox whose users are made up, and which has no applications."""
    async with Google.started() as started:
        yield started


@pytest.fixture
def asked(users: Google, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The command in this process, with the address of that sandbox."""
    monkeypatch.setenv("ROLLOUT_SANDBOX_URL", users.sandbox.http_url)
    return lambda *arguments: asyncio.to_thread(sandbox_commands.fault, list(arguments))


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
    async with patient_http.async_client() as client:
        switched = await fault(address, OLD_IMAGE, "error_rate=1.0", "to=all")
        assert (switched.returncode, switched.stderr) == (0, "")
        assert (await client.get(work)).status_code == 500

        assert (await fault(address)).stdout == f'{OLD_IMAGE}: {{"error_rate": 1.0, "to": "all"}}\n'
        assert (await fault(address, "--clear")).stdout == "no faults\n"
        assert (await client.get(work)).status_code == 200


async def test_every_fault_of_googles_apis_is_switched_shown_and_taken_back(users: Google, asked: Asked) -> None:
    update = ("--method", "UpdateService", "--code", "UNAVAILABLE", "--count", "1", "--after-commit")
    typed = await fault(users.sandbox.http_url, *update)
    assert typed.stdout == 'UpdateService: {"code": "UNAVAILABLE", "count": 1, "after_commit": true}\n'
    with pytest.raises(ServiceUnavailable):
        await users.update(["description"], description="landed")
    assert (await users.settled()).description == "landed"

    await asked("--method", "GetOperation", "--code", "PERMISSION_DENIED")
    await asked("--reconcile-seconds", "20")
    await asked("--metrics", "outage")
    await asked("--fails-to-start", NEW_IMAGE)
    assert await asked() == (
        'GetOperation: {"code": "PERMISSION_DENIED"}\nmetrics: "outage"\nreconcile_seconds: 20.0\n'
        f'{NEW_IMAGE}: {{"fails_to_start": true}}'
    )
    await users.update(["description"], description="on its way")
    assert (await users.service()).reconciling

    assert await asked("--clear") == "no faults"
    assert users.sandbox.faults.in_force() == []
    assert not users.sandbox.faults.metrics_outage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "Update", "--code", "INTERNAL"), "'Update' is not served; allowed are AccessSecretVersion"),
        (("--method", "GetService", "--code", "BAD"), "^code: 'BAD' is not a gRPC status of a failure"),
        (("--method", "GetService", "--code", "INTERNAL", "--count", "0"), "count: Input should be greater"),
        (("--metrics", "slow"), "metrics: Input should be 'outage', got 'slow'"),
    ],
)
async def test_a_fault_that_the_sandbox_does_not_know_ends_with_code_2_and_names_what_it_does(
    users: Google, asked: Asked, arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CommandEnds, match=said) as end:
        await asked(*arguments)

    assert end.value.code == ExitCode.REFUSED
    assert users.sandbox.faults.in_force() == []


async def test_an_image_that_fails_to_start_fails_its_deployment_and_keeps_the_rest_of_its_behaviour(
    users: Google, asked: Asked
) -> None:
    await users.sandbox.set_behaviour(NEW_IMAGE, Behaviour(cpu_factor=2.0))
    await asked("--fails-to-start", NEW_IMAGE)
    with pytest.raises(GoogleAPICallError, match="failed to start and listen"):
        await result_of(await users.update(["template"], template=template_of(NEW_IMAGE)))

    await asked("--clear")
    await result_of(await users.update(["template"], template=template_of(NEW_IMAGE, CANDIDATE)))
    async with patient_http.async_client() as client:
        behaviours = (await client.get(f"{users.sandbox.http_url}/behaviours")).json()
    assert behaviours == {NEW_IMAGE: {"cpu_factor": 2.0}}


async def test_faults_of_applications_where_there_are_none_end_with_code_2(asked: Asked) -> None:
    with pytest.raises(CommandEnds, match="there are no applications here") as end:
        await asked(OLD_IMAGE, "error_rate=1")

    assert end.value.code == ExitCode.REFUSED


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "GetService"), "needs a --code"),
        (("--count", "2", "--metrics", "outage"), "--count: only with --method"),
        (("--metrics", "outage", "--reconcile-seconds", "2"), "not allowed with argument --metrics"),
        (("--reconcile-seconds", "nan"), "'nan' is not a number of seconds"),
        (("--delay-seconds", "-1", "--method", "GetService"), "'-1' is not a number of seconds"),
        (("--method", "GetService", "--code", "INTERNAL", "--clear"), "unrecognized arguments: --clear"),
    ],
)
def test_options_that_say_no_one_fault_are_refused_before_the_sandbox_is_asked(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("ROLLOUT_SANDBOX_URL", "http://127.0.0.1:1")
    with pytest.raises(CommandEnds, match=said) as end:
        sandbox_commands.fault(list(arguments))

    assert end.value.code == ExitCode.REFUSED
    assert "rollout sandbox fault --method METHOD --code CODE" in end.value.text


async def test_what_the_application_refuses_ends_with_code_2_and_its_words_whether_the_image_runs_or_not(
    google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = await fault(google.sandbox.http_url, OLD_IMAGE, "error_rate=2")

    assert ran.returncode == 2
    assert ran.stderr == "error_rate: Input should be less than or equal to 1, got 2\n"

    monkeypatch.setenv("ROLLOUT_SANDBOX_URL", google.sandbox.http_url)
    with pytest.raises(CommandEnds, match="error_rate: Input should be less than or equal to 1, got 3") as end:
        await asyncio.to_thread(sandbox_commands.fault, [NEW_IMAGE, "error_rate=3"])
    assert end.value.code == ExitCode.REFUSED
    assert await asyncio.to_thread(sandbox_commands.fault, []) == "no faults"

    later = await asyncio.to_thread(sandbox_commands.fault, [NEW_IMAGE, "error_rate=1"])
    assert later == f'{NEW_IMAGE}: {{"error_rate": 1}} (nothing runs it yet)'


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
