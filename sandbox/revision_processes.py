"""The processes behind the revisions: each revision is one instance of a user's application, started by its command.

An application finds its port and who it is in the variables of Cloud Run's container contract (`PORT`, `K_SERVICE`,
`K_REVISION`, `K_CONFIGURATION`), and its container's own `env`. It is ready when it accepts connections, as with Cloud
Run's default startup probe, and is told to end with SIGTERM.
"""

import asyncio
import logging
import os
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from sandbox.resource_names import ServiceName
from sandbox.run_services import RevisionRecord, ServiceRecord

_log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
_BETWEEN_LOOKS_SECONDS = 0.02
_TIME_TO_STOP_SECONDS = 15.0

# Run in the child before it becomes the application: it is ended when the sandbox ends, however that happens.
_END_WITH_PARENT = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
os.execvp(sys.argv[2], sys.argv[2:]) if os.getppid() == int(sys.argv[1]) else None
"""


@dataclass(frozen=True, slots=True)
class RevisionProcess:
    """One running application, at `http://127.0.0.1:port`."""

    service: ServiceName
    revision: str
    image: str
    port: int
    process: asyncio.subprocess.Process

    @property
    def runs(self) -> bool:
        return self.process.returncode is None


class RevisionProcesses:
    """Every revision's process, from its start until the revision is deleted or the sandbox ends."""

    def __init__(self, command: str, start_seconds: float) -> None:
        self._command = shlex.split(command)
        self._start_seconds = start_seconds
        self._running: dict[tuple[ServiceName, str], RevisionProcess] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[RevisionProcess]:
        return iter([each for each in self._running.values() if each.runs])

    def find(self, service: ServiceName, revision: str) -> RevisionProcess | None:
        """The process that serves a revision; None while there is none, or once it has ended."""
        found = self._running.get((service, revision))
        return found if found is not None and found.runs else None

    async def start(
        self, record: ServiceRecord, revision: RevisionRecord, variables: Mapping[str, str]
    ) -> RevisionProcess | None:
        """Start a revision and wait until it listens. None: it ended first, or did not listen in time and was ended."""
        port = _free_port()
        container = revision.template.containers[0]
        name = record.name
        environment = {
            **os.environ,
            **variables,
            **{each.name: each.value for each in container.env},
            "PORT": str(port),
            "K_SERVICE": name.service,
            "K_REVISION": revision.short_name,
            "K_CONFIGURATION": name.service,
            "GOOGLE_CLOUD_PROJECT": name.project,
            "GOOGLE_CLOUD_REGION": name.region,
        }
        process = await asyncio.create_subprocess_exec(
            *_guard(), *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=sys.stderr, env=environment
        )
        started = RevisionProcess(name, revision.short_name, revision.image, port, process)
        self._running[name, revision.short_name] = started
        try:
            async with asyncio.timeout(self._start_seconds):
                while started.runs and not await _listens(port):  # noqa: ASYNC110  (another process has no event)
                    await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
        except TimeoutError:
            await _stop(started)
        if not started.runs:
            _log.warning("%s did not start: it ended with code %s", revision.short_name, process.returncode)
            return None
        return started

    def observe(self, record: ServiceRecord, _instant: int) -> None:
        """Stop the processes of revisions that no longer exist."""
        for key, each in list(self._running.items()):
            if each.service == record.name and (record.deleted or each.revision not in record.revisions):
                del self._running[key]
                task = asyncio.create_task(_stop(each))
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)

    async def close(self) -> None:
        await asyncio.gather(*(_stop(each) for each in self._running.values()), *self._stopping)
        self._running.clear()


async def _stop(started: RevisionProcess) -> None:
    """Ask the application to finish what it has begun; insist after a while."""
    process = started.process
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):  # it ended by itself just now
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _TIME_TO_STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


def _guard() -> list[str]:
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", "-c", _END_WITH_PARENT, str(os.getpid())]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
