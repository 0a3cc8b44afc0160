"""A server of one's own: on loopback, on a port of its own, with every answered write on disk."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from local.child_process import ChildFailed
from local.ports import LOOPBACK, free_port
from local.redis_server import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer.start(tmp_path / "data")
    yield running
    running.kill()


def test_it_answers_at_its_address_with_its_own_process(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        assert client.info("server")["process_id"] == server.pid
        assert client.config_get("bind") == {"bind": LOOPBACK}


def test_every_answered_write_survives_a_crash(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("latch", "1")
    server.kill()

    again = RedisServer.start(server.directory, server.port)
    try:
        with redis.Redis.from_url(again.url) as client:
            assert client.get("latch") == b"1"
    finally:
        again.stop()


def test_two_servers_do_not_share_anything(server: RedisServer, tmp_path: Path) -> None:
    other = RedisServer.start(tmp_path / "other")
    try:
        with redis.Redis.from_url(server.url) as one, redis.Redis.from_url(other.url) as two:
            one.set("name", "one")
            assert two.get("name") is None
    finally:
        other.stop()


def test_stopping_ends_the_process_and_the_log_stays(server: RedisServer) -> None:
    server.stop()

    assert server.exit_code == 0
    assert "Ready to accept connections" in (server.directory / "redis.log").read_text()


def test_a_port_that_somebody_else_has_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        with pytest.raises(ChildFailed, match="already in use"):
            RedisServer.start(tmp_path / "data", taken.getsockname()[1])


def test_another_server_on_the_port_is_not_taken_for_ours(server: RedisServer, tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="already in use"):
        RedisServer.start(tmp_path / "other", server.port)


def test_without_a_port_of_ones_own_another_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        free = free_port()
        offered = [free, free, free, free, taken.getsockname()[1]]
        monkeypatch.setattr("local.redis_server.free_port", lambda: offered.pop(0))

        server = RedisServer.start(tmp_path / "data")

    assert server.port == free
    server.stop()


def test_directives_are_added_to_those_of_the_launcher(tmp_path: Path) -> None:
    server = RedisServer.start(tmp_path / "data", configuration={"maxmemory-policy": "noeviction", "hz": "50"})
    try:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            found = {name: client.config_get(name)[name] for name in ("hz", "appendonly", "appendfsync")}
            assert found == {"hz": "50", "appendonly": "yes", "appendfsync": "always"}
    finally:
        server.stop()
