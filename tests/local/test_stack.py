import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest

from config.temporal import connect
from local.child_process import ChildFailed
from local.sandbox_secrets import read_secret
from local.sandbox_server import services_of
from local.stack import PLANS, DirectoryInUse, LocalStack
from rollout.messages import EMERGENCY_TASK_QUEUE, SEARCH_ATTRIBUTES, TASK_QUEUE
from starter.plan_file import PlanRefused, load_plan
from tests import patient_http
from tests.checkout import CHECKOUT
from tests.eventually import eventually
from tests.patient_http import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(tmp_path_factory.mktemp("stack")) as running:
        yield running


def runs(pid: int) -> bool:
    """Whether a process is there and not only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def shell_environment(file: Path) -> dict[str, str]:
    """What a shell knows of the stack after sourcing a file."""
    printed = subprocess.run(
        ["bash", "-c", 'source "$0" && env -0', file], check=True, capture_output=True, text=True
    ).stdout
    pairs = (line.partition("=") for line in printed.split("\0") if line)
    return {name: value for name, _, value in pairs if name.startswith(("ROLLOUT_", "TEMPORAL_"))}


def test_every_part_answers_once_the_stack_is_there(stack: LocalStack) -> None:
    with redis.Redis.from_url(stack.redis.url) as client:
        assert client.ping()
    assert patient_http.get(stack.temporal.ui_url, follow_redirects=True).status_code == 200
    assert "netra-backend-production" in patient_http.get(f"{stack.sandbox.url}/services").text
    assert stack.temporal.frontend.pollers(TASK_QUEUE)
    assert stack.temporal.frontend.pollers(EMERGENCY_TASK_QUEUE)
    assert all(part.exit_code is None for part in stack.parts().values())


async def test_the_namespace_knows_the_search_attributes_of_a_rollout(stack: LocalStack) -> None:
    client = await connect(stack.environment)
    request = ListSearchAttributesRequest(namespace=client.namespace)
    known = await client.operator_service.list_search_attributes(request)
    assert set(SEARCH_ATTRIBUTES) <= set(known.custom_attributes)


def test_a_shell_that_sources_the_file_knows_the_stack(stack: LocalStack) -> None:
    assert shell_environment(stack.environment_file) == stack.environment
    assert {
        "TEMPORAL_ADDRESS",
        "TEMPORAL_NAMESPACE",
        "TEMPORAL_UI_URL",
        "ROLLOUT_REDIS_URL",
        "ROLLOUT_GOOGLE_ENDPOINT",
        "ROLLOUT_SANDBOX_URL",
        "ROLLOUT_WORKER_PID",
    } <= set(stack.environment)


def test_two_stacks_never_share_a_directory(stack: LocalStack) -> None:
    with pytest.raises(DirectoryInUse, match=f"is in use by process {os.getpid()}"), LocalStack(stack.directory):
        pass


def test_a_killed_worker_can_be_started_again(stack: LocalStack) -> None:
    before = stack.worker
    assert before is not None
    before.kill()
    assert stack.parts()["worker"].exit_code == -signal.SIGKILL
    after = stack.start_worker()
    assert after.pid != before.pid
    assert stack.parts()["worker"].exit_code is None


def test_servers_started_again_have_their_addresses_and_their_data(stack: LocalStack) -> None:
    addresses = (stack.redis.url, stack.temporal.address, stack.temporal.ui_url, stack.sandbox.google_endpoint)
    with redis.Redis.from_url(stack.redis.url) as client:
        client.set("kept", "yes")
    stack.redis.kill()
    stack.restart_redis()
    stack.temporal.kill()
    stack.restart_temporal()
    stack.sandbox.kill()
    stack.restart_sandbox()
    with redis.Redis.from_url(stack.redis.url) as client:
        assert client.get("kept") == b"yes"
    assert stack.temporal.frontend.serves_namespace()
    assert addresses == (
        stack.redis.url,
        stack.temporal.address,
        stack.temporal.ui_url,
        stack.sandbox.google_endpoint,
    )


def test_leaving_leaves_nothing_running_and_a_fresh_stack_remembers_nothing(tmp_path: Path) -> None:
    with LocalStack(tmp_path, worker=False) as first:
        with redis.Redis.from_url(first.redis.url) as client:
            client.set("kept", "yes")
        processes = [part.pid for part in first.parts().values()]
        assert "ROLLOUT_WORKER_PID" not in first.environment
    assert not any(runs(pid) for pid in processes)
    assert not first.environment_file.exists()
    with LocalStack(tmp_path, worker=False, fresh=True) as second, redis.Redis.from_url(second.redis.url) as client:
        assert client.get("kept") is None


def test_a_part_that_cannot_start_takes_the_others_with_it(tmp_path: Path) -> None:
    started: list[str] = []
    failing = LocalStack(tmp_path, worker=False, etag="nonsense", started=started.append)
    with pytest.raises(ChildFailed, match="sandbox ended with code 2 before it was ready"), failing:
        pass
    assert [line.split()[0] for line in started] == ["Redis", "Temporal"]
    assert not runs(failing.redis.pid)
    assert not runs(failing.temporal.pid)
    with LocalStack(tmp_path, worker=False):
        assert (tmp_path / "local.env").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("example-shop/own", "what was given is not PROJECT/NAME=VALUE"),
        ("example-shop/ö=opensesame", "name: String should match pattern"),
    ],
)
def test_a_wrong_secret_is_refused_without_a_word_of_its_value(given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        read_secret(given)

    assert "opensesame" not in str(refused.value)


def test_a_wrong_plan_is_refused_before_anything_starts(tmp_path: Path) -> None:
    started: list[str] = []
    with (
        pytest.raises(PlanRefused, match="No such file"),
        LocalStack(tmp_path, plans=[tmp_path / "nowhere.yaml"], started=started.append),
    ):
        pass
    assert not started


def test_the_services_of_the_plans_are_there_once_each() -> None:
    assert services_of([load_plan(path) for path in (*PLANS, CHECKOUT / "plans" / "request-isolation.yaml")]) == [
        "netra-production/us-central1/netra-backend-production=example/backend:1@rehearsal:rehearsal",
        "netra-production/us-central1/netra-auth-service-production=example/auth:1@rehearsal:rehearsal",
        "example-shop/europe-west1/storefront=example/storefront:1",
    ]


@pytest.fixture
def local_command(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """`rollout local` as a person runs it, without worker and traffic, with its processes answering."""
    options = ["--no-worker", "--synthetic", "--dir", str(tmp_path / "local")]
    command = [sys.executable, "-m", "starter", "local", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert eventually((tmp_path / "local" / "local.env").exists)
        yield process
        process.kill()


def processes_of(directory: Path) -> list[int]:
    environment = shell_environment(directory / "local" / "local.env")
    return [int(value) for name, value in environment.items() if name.endswith("_PID")]


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_rollout_local_says_what_to_do_next_and_leaves_nothing_when_told_to_stop(
    local_command: "subprocess.Popen[str]", tmp_path: Path, told: signal.Signals
) -> None:
    processes = processes_of(tmp_path)
    local_command.send_signal(told)
    printed, _ = local_command.communicate(timeout=PATIENCE_SECONDS)
    assert local_command.returncode == 0
    assert f"source {tmp_path}/local/local.env" in printed
    assert "rollout start plans/rehearsal.yaml --image backend=example/backend:2" in printed
    assert printed.endswith("Nothing is left running.\n")
    assert len(processes) == 3
    assert not any(runs(pid) for pid in processes)
    assert not (tmp_path / "local" / "local.env").exists()


def test_rollout_local_killed_at_once_takes_its_children_with_it(
    local_command: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    processes = processes_of(tmp_path)
    assert all(runs(pid) for pid in processes)
    local_command.kill()
    assert eventually(lambda: not any(runs(pid) for pid in processes))


def test_rollout_local_says_at_the_end_what_its_users_met(tmp_path: Path) -> None:
    directory = tmp_path / "local"
    command = [sys.executable, "-m", "starter", "local", "--no-worker", "--dir", str(directory)]
    command += ["--secret", "example-shop/own=opensesame"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert eventually((directory / "local.env").exists)
        sandbox = shell_environment(directory / "local.env")["ROLLOUT_SANDBOX_URL"]
        secrets = {secret["name"]: secret["versions"] for secret in patient_http.get(f"{sandbox}/secrets").json()}
        services = {service["name"]: service["uri"] for service in patient_http.get(f"{sandbox}/services").json()}
        answers = [patient_http.get(f"{uri}/work", headers={"X-User": "a-person"}) for uri in services.values()]
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert secrets.keys() == {
        "projects/example-shop/secrets/own",
        "projects/netra-production/secrets/database-url",
    }, "what the rehearsal checks, and what was given"
    assert [answer.json()["group"] for answer in answers] == ["control"] * len(services)
    assert re.search(
        r"^[\d,]+ requests were served \(0 of them .*\), 0 were lost; [\d,]+ WebSocket events arrived, 0 were",
        printed,
        re.MULTILINE,
    )
    assert process.returncode == 0
