"""Children serve until they are told to stop, tell why they did not start, and leave nothing behind."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from local.child_process import ChildFailed, ChildProcess

WAIT_SECONDS = 10.0
NEVER_READY_WITHIN = 0.3


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


@pytest.fixture
def started(log: Path) -> Iterator[Callable[[str], ChildProcess]]:
    """Start Python programs that print `ready`; whatever still runs at the end is killed."""
    children = []

    def start(program: str) -> ChildProcess:
        child = ChildProcess.start(
            "example", [sys.executable, "-u", "-c", program], log=log, ready=lambda one: "ready" in one.log_tail()
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([process], [], [], WAIT_SECONDS)
    finally:
        os.close(process)
    assert ended, f"process {pid} still runs"


def test_a_child_is_started_once_it_answers_and_stopped_by_its_pid(started: Callable[[str], ChildProcess]) -> None:
    child = started("import time; print('ready'); time.sleep(60)")

    assert is_running(child.pid)
    assert child.exit_code is None

    child.stop()

    assert child.exit_code == -signal.SIGTERM
    assert not is_running(child.pid)


def test_whoever_takes_long_to_start_is_asked_less_and_less_often(log: Path) -> None:
    asked: list[float] = []

    def asked_again(_: ChildProcess) -> bool:
        asked.append(time.monotonic())
        return False

    with pytest.raises(ChildFailed, match="not ready within 1 s"):
        ChildProcess.start("slow", ["sleep", "60"], log=log, ready=asked_again, ready_within=1.0)

    assert all(after - before > (before - asked[0]) / 25 for before, after in pairwise(asked))


def test_a_child_that_ends_before_it_is_ready_is_told_with_the_end_of_its_log(
    started: Callable[[str], ChildProcess],
) -> None:
    with pytest.raises(ChildFailed, match=r"example ended with code 3 before it was ready:\nno such port"):
        started("import sys; print('no such port'); sys.exit(3)")


def test_a_child_that_stays_silent_is_ended_and_told(log: Path) -> None:
    seen: list[int] = []

    def never(child: ChildProcess) -> bool:
        seen.append(child.pid)
        return False

    with pytest.raises(ChildFailed, match=r"example was not ready within 0\.3 s"):
        ChildProcess.start(
            "example",
            [sys.executable, "-c", "import time; time.sleep(60)"],
            log=log,
            ready=never,
            ready_within=NEVER_READY_WITHIN,
        )

    assert not is_running(seen[0])


def test_a_child_whose_readiness_cannot_be_asked_is_ended(log: Path) -> None:
    seen: list[int] = []

    def broken(child: ChildProcess) -> bool:
        seen.append(child.pid)
        raise LookupError("nobody knows")

    with pytest.raises(LookupError):
        ChildProcess.start("example", [sys.executable, "-c", "import time; time.sleep(60)"], log=log, ready=broken)

    assert not is_running(seen[0])


def test_a_child_that_does_not_listen_is_killed_with_all_that_it_started(
    started: Callable[[str], ChildProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.child_process.TIME_TO_STOP_SECONDS", 0.2)
    child = started(
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(inner.pid, 'ready')\n"
        "time.sleep(60)\n"
    )
    inner = int(child.log_tail().split()[0])

    child.stop()

    assert child.exit_code == -signal.SIGKILL
    wait_until_gone(inner)


def test_stopping_twice_is_harmless(started: Callable[[str], ChildProcess]) -> None:
    child = started("import time; print('ready'); time.sleep(60)")

    child.stop()
    child.stop()
    child.kill()

    assert child.exit_code == -signal.SIGTERM


def test_a_child_outlives_the_thread_that_started_it(started: Callable[[str], ChildProcess]) -> None:
    children: list[ChildProcess] = []
    thread = threading.Thread(target=lambda: children.append(started("import time; print('ready'); time.sleep(60)")))
    thread.start()
    thread.join()
    other = started("import time; print('ready'); time.sleep(60)")

    assert children[0].exit_code is None
    assert other.exit_code is None


def test_a_child_dies_with_a_parent_that_is_killed(log: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from local.child_process import ChildProcess\n"
        "child = ChildProcess.start('inner', [sys.executable, '-c', 'import time; time.sleep(60)'],\n"
        "    log=pathlib.Path(sys.argv[1]), ready=lambda one: True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(log)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        # The child may still be on its way to its program; it is watched from its first instruction that matters.
        os.kill(parent.pid, signal.SIGKILL)

    wait_until_gone(child)


def test_a_child_sees_the_environment_and_the_directory_it_is_given(tmp_path: Path, log: Path) -> None:
    child = ChildProcess.start(
        "example",
        [sys.executable, "-u", "-c", "import os, time; print(os.environ['NAME'], os.getcwd()); time.sleep(60)"],
        log=log,
        ready=lambda one: bool(one.log_tail()),
        environment={"NAME": "kim"},
        cwd=tmp_path,
    )
    try:
        assert child.log_tail() == f"kim {tmp_path}"
    finally:
        child.stop()
