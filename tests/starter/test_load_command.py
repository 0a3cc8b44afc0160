"""`rollout load-test` with input it cannot use: exit code 2, and nothing was started."""

import socket
import sys
from collections.abc import Iterator

import pytest

from tests.starter.command_line import Run


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """An address that would notice any user."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--duration", "0"), "--duration: a load test lasts from 1s to 24h (given: '0s')"),
        (("--duration", "25h"), "--duration: a load test lasts from 1s to 24h (given: '25h')"),
        (("--duration", "soon"), "--duration: a duration is a number with a unit: 500ms, 90s"),
        (("--concurrent-users", "0"), "--concurrent-users: must be at least 1 (given: 0)"),
        (("--concurrent-users", "5001"), "--concurrent-users: must be at most 5000 (given: 5001)"),
        (("--concurrent-users", "2", "--mixed-traffic"), "concurrent_users must be at least 3, not 2"),
        (("--max-error-rate", "5"), "--max-error-rate: a share is written with its percent sign"),
        (("--max-error-rate", "101%"), "--max-error-rate: a share of the requests is from 0% to 100%"),
        (("--max-p95", "0ms"), "--max-p95: must be longer than nothing"),
        (("--path", "work"), "--path: must be a path that begins with / and has no spaces (given: 'work')"),
        (("--email-domain", "Example"), "--email-domain: must be a plain lower-case domain such as example.com"),
        (("--user-header", "a: b"), "--user-header: must be the name of a header"),
        (("--url", "ftp://example.com"), "--url: must be an address such as https://backend.example.com"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_input_names_the_option_and_starts_nothing(
    run: Run, listening: socket.socket, options: tuple[str, ...], said: str
) -> None:
    ran = run({}, "load-test", f"http://127.0.0.1:{listening.getsockname()[1]}", *options)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
    with pytest.raises(BlockingIOError):
        listening.accept()


def test_without_an_address_and_a_sandbox_it_asks_for_one(run: Run) -> None:
    ran = run({}, "load-test")

    assert (ran.code, ran.out) == (2, "")
    assert "--url: which application?" in ran.err


def test_where_locust_is_not_installed_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "locust", None)
    ran = run({}, "load-test", "http://127.0.0.1:1")

    assert (ran.code, ran.out) == (2, "")
    assert "pip install 'cloud-run-rollout[load]'" in ran.err
