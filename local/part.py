"""What Temporal, Redis, the sandbox and the worker of a stack have in common: each is a child process."""

from local.child_process import ChildProcess


class Part:
    """A child process of a stack."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.exit_code

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        """End it as a crash would; a server that is started again in its directory has all that it answered for."""
        self._process.kill()
