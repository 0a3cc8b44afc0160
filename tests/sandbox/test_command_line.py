"""`python -m sandbox` as a process: one line when ready, answers, and a clean end."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.cloud import run_v2, secretmanager_v1
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from local.redis_server import RedisServer
from sandbox.__main__ import main
from tests import patient_http
from tests.sandbox.google import NAME

SERVICE = f"shop-production/us-central1/backend={'shop/backend@sha256:' + 'a' * 64}"
SECONDS_TO_END = 20


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process and what it printed when it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def refused(*arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_END,
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


def test_it_prints_where_it_answers_and_ends_cleanly_on_a_signal(redis_server: RedisServer) -> None:
    arguments = ("--service", f"{SERVICE}@production:checkout", "--redis-url", redis_server.url, "--etag", "enforce")
    with running(*arguments, "--sample-seconds", "1", "--ingest-delay-seconds", "1") as (process, ready):
        assert ready["pid"] == process.pid
        assert patient_http.get(ready["http"] + "/services").json()[0]["flag_group"] == "production:checkout"
        with grpc.insecure_channel(ready["grpc"]) as channel:
            services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
            service = services.get_service(name=NAME)
        assert service.template.containers[0].image == SERVICE.partition("=")[2]
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=SECONDS_TO_END)

        assert process.returncode == 0
        assert rest == ""


def test_secrets_given_at_the_start_are_there_and_no_output_repeats_them() -> None:
    arguments = ("--secret", "shop-production/key=first=1", "--secret", "shop-production/key=opensesame")
    with running(*arguments) as (process, ready):
        assert patient_http.get(ready["http"] + "/secrets").json() == [
            {"name": "projects/shop-production/secrets/key", "versions": {"1": "ENABLED", "2": "ENABLED"}}
        ]
        with grpc.insecure_channel(ready["grpc"]) as channel:
            secrets = secretmanager_v1.SecretManagerServiceClient(
                transport=SecretManagerServiceGrpcTransport(channel=channel)
            )
            name = "projects/shop-production/secrets/key/versions/{}"
            values = [secrets.access_secret_version(name=name.format(which)).payload.data for which in (1, "latest")]
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=SECONDS_TO_END)

        assert values == [b"first=1", b"opensesame"]
        assert "opensesame" not in rest + errors


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("opensesame", "what was given is not PROJECT/NAME=VALUE"),
        ("=opensesame", "what was given is not PROJECT/NAME=VALUE"),
        ("shop-production/db.password=opensesame", "name: String should match pattern"),
        ("shop-production/key=" + "opensesame" * 6_554, "value: must hold at most 65536 bytes, not 65540"),
    ],
)
def test_a_refused_secret_is_told_what_is_wrong_and_not_repeated(
    capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--secret", given])
    told = capsys.readouterr().err

    assert ended.value.code == 2
    assert said in told
    assert "opensesame" not in told


def test_it_ends_cleanly_on_an_interrupt_while_a_client_is_connected() -> None:
    with running("--service", SERVICE, "--reconcile-seconds", "60") as (process, ready):
        with grpc.insecure_channel(ready["grpc"]) as channel:
            services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
            services.update_service(service=run_v2.Service(name=NAME, description="under way"))
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=SECONDS_TO_END)

        assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--grpc", "0.0.0.0:0"), "'0.0.0.0:0' is not on loopback"),
        (("--http", "192.0.2.1:8080"), "'192.0.2.1:8080' is not on loopback"),
        (("--grpc", "127.0.0.1:99999"), "with a port of 0 to 65535"),
        (("--service", "backend"), "'backend' is not PROJECT/REGION/NAME=IMAGE"),
        (("--service", "p/r/Backend=i"), "service: String should match pattern"),
        (("--service", "p/r/backend=i@production:checkout"), "needs the Redis that holds the group's flags"),
        (("--sample-seconds", "0"), "sample_seconds: Input should be greater than or equal to 0.1"),
        (("--etag", "maybe"), "invalid choice: 'maybe'"),
    ],
)
def test_wrong_arguments_are_refused_with_code_2(arguments: tuple[str, ...], said: str) -> None:
    code, text = refused(*arguments)

    assert code == 2
    assert said in text
    assert "Traceback" not in text


def test_a_redis_that_does_not_answer_is_named(redis_server: RedisServer) -> None:
    code, text = refused("--service", "p/r/backend=i@production:checkout", "--redis-url", "redis://127.0.0.1:1/0")

    assert code == 1
    assert "127.0.0.1:1" in text
    assert "Traceback" not in text


def test_a_port_that_is_taken_is_named() -> None:
    with running() as (_, ready):
        for option, address in (("--grpc", ready["grpc"]), ("--http", ready["http"].removeprefix("http://"))):
            code, text = refused(option, address)

            assert code == 1
            assert address.rpartition(":")[2] in text
            assert "Traceback" not in text
