"""Child processes that serve: started with their log in a file, waited for until they answer, ended by their own pid.

On Linux a child dies with its parent even when the parent is killed, so that nothing is left running.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

BETWEEN_READINESS_CHECKS_SECONDS = 0.01
TIME_TO_BECOME_READY_SECONDS = 60.0
TIME_TO_STOP_SECONDS = 10.0
LOG_TAIL_LINES = 20

_PR_SET_PDEATHSIG = 1


class ChildFailed(RuntimeError):  # noqa: N818  (named as what is the case)
    """A child ended or stayed silent before it was ready. The text holds the end of its log."""


class ChildProcess:
    """One running child. Use `start`, then `stop`; `kill` is for tests that want it dead at once."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        ready: Callable[["ChildProcess"], bool],
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready_within: float = TIME_TO_BECOME_READY_SECONDS,
    ) -> "ChildProcess":
        """Start `command` and return once `ready` says so.

        Raises:
            ChildFailed: the child ended first, or was not ready within `ready_within` seconds (it is ended then).
        """
        with log.open("ab") as output:
            child = cls(name, _spawn(command, output, environment, cwd), log)
        deadline = time.monotonic() + ready_within
        while not ready(child):
            if child.exit_code is not None:
                raise ChildFailed(f"{name} ended with code {child.exit_code} before it was ready:\n{child.log_tail()}")
            if time.monotonic() > deadline:
                child.stop()
                raise ChildFailed(f"{name} was not ready within {ready_within:g} s:\n{child.log_tail()}")
            time.sleep(BETWEEN_READINESS_CHECKS_SECONDS)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Ask it to stop; insist after `TIME_TO_STOP_SECONDS`. Harmless when it has ended already."""
        if self.exit_code is None:
            self._process.terminate()
            try:
                self._process.wait(TIME_TO_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def _spawn(
    command: Sequence[str | Path], output: IO[bytes], environment: Mapping[str, str] | None, cwd: Path | None
) -> "subprocess.Popen[bytes]":
    parent = os.getpid()
    return subprocess.Popen(  # noqa: S603  (the product's own servers)
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if environment is None else dict(environment),
        cwd=cwd,
        # A session of its own: Ctrl-C in the terminal reaches the parent only, which then stops its children in order.
        start_new_session=True,
        preexec_fn=_death_with(parent) if sys.platform == "linux" else None,  # noqa: PLW1509  (no threads before exec)
    )


def _death_with(parent: int) -> Callable[[], None]:
    """What a child does before it becomes its program: ask the kernel to be ended when its parent ends."""
    libc = ctypes.CDLL(None, use_errno=True)

    def bind() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return bind
