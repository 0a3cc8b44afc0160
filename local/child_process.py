"""Child processes that serve: started with their log in a file, waited for until they answer, ended by their own pid.

On Linux a child dies with its parent even when the parent is killed, so that nothing is left running.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

BETWEEN_READINESS_CHECKS_SECONDS = 0.01
PART_OF_THE_WAIT = 0.05
"""Whoever takes long to start is asked less often, as being asked takes time from it: at most this much later."""
TIME_TO_BECOME_READY_SECONDS = 60.0
TIME_TO_STOP_SECONDS = 10.0
LOG_TAIL_LINES = 20

# The kernel watches the thread that started a child, not its process: children come from one that lives to the end.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-processes")

# What a child runs before it becomes its program: it asks to be ended when its parent ends, unless that has happened.
# In a process of its own rather than between fork and exec, where the parent's other threads may hold locks.
_DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
os.execvp(sys.argv[2], sys.argv[2:]) if os.getppid() == int(sys.argv[1]) else None
"""


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
            child = cls(name, _SPAWNER.submit(_spawn, command, output, environment, cwd).result(), log)
        try:
            child._wait_until(ready, ready_within)
        except BaseException:
            child.stop()
            raise
        return child

    def _wait_until(self, ready: Callable[["ChildProcess"], bool], within: float) -> None:
        began = time.monotonic()
        while not ready(self):
            if self.exit_code is not None:
                raise ChildFailed(
                    f"{self.name} ended with code {self.exit_code} before it was ready:\n{self.log_tail()}"
                )
            waited = time.monotonic() - began
            if waited > within:
                raise ChildFailed(f"{self.name} was not ready within {within:g} s:\n{self.log_tail()}")
            time.sleep(max(BETWEEN_READINESS_CHECKS_SECONDS, waited * PART_OF_THE_WAIT))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def stop(self) -> None:
        """Ask it to stop; insist after `TIME_TO_STOP_SECONDS`, with all that it started. Harmless when it has ended."""
        if self.exit_code is None:
            self._process.terminate()
            try:
                self._process.wait(TIME_TO_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would, with all that it started and did not detach."""
        if self.exit_code is None:
            # Not reaped yet, so the number is still this child's, and it leads the group of that number.
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def _spawn(
    command: Sequence[str | Path], output: IO[bytes], environment: Mapping[str, str] | None, cwd: Path | None
) -> "subprocess.Popen[bytes]":
    watched = sys.platform == "linux"
    guard = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())] if watched else []
    return subprocess.Popen(  # noqa: S603  (the product's own servers)
        [*guard, *(str(part) for part in command)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if environment is None else dict(environment),
        cwd=cwd,
        # A session of its own: Ctrl-C in the terminal reaches the parent only, which then stops its children in order.
        start_new_session=True,
    )
