"""`python -m loadtest`: runs one load test, given as a line of JSON on standard input, and ends by itself.

Every second it writes a report as a line of JSON; the last one is final. It ends at once when standard input does:
whoever asked for the test is gone then, however that came about.
"""

import os
import sys
from time import monotonic
from typing import NoReturn

import gevent  # type: ignore[import-untyped]
from gevent import socket
from locust.runners import LocalRunner

from loadtest.users import LoadEnvironment
from rollout.load_test import LoadTest

BETWEEN_REPORTS_SECONDS = 1.0
LONGEST_RAMP_SECONDS = 10.0
RAMP_SHARE = 0.2
"""The part of a short test in which its users arrive."""
LAST_ANSWERS_SECONDS = 3.0
"""How long answers that are under way are waited for at the end."""
BETWEEN_LOOKS_SECONDS = 0.02
_STDIN = 0
_ABANDONED = 3


def main() -> NoReturn:
    test = LoadTest.model_validate_json(sys.stdin.buffer.readline())
    gevent.spawn(_end_with_whoever_asked)
    _run(test)
    # Users that do not let go must not keep the process.
    os._exit(0)


def _run(test: LoadTest) -> None:
    environment = LoadEnvironment(test)
    runner: LocalRunner = environment.create_local_runner()
    lasts = test.duration.total_seconds()
    ramp = min(LONGEST_RAMP_SECONDS, lasts * RAMP_SHARE)
    began = monotonic()
    runner.start(test.concurrent_users, spawn_rate=max(1.0, test.concurrent_users / ramp))
    while (left := lasts - (monotonic() - began)) > 0:
        gevent.sleep(min(BETWEEN_REPORTS_SECONDS, left))
        _write(environment, runner, monotonic() - began, final=False)
    environment.over = True
    ends = monotonic() + LAST_ANSWERS_SECONDS
    while not environment.at_rest and monotonic() < ends:
        gevent.sleep(BETWEEN_LOOKS_SECONDS)
    # Locust's own end would wait for every user to let go, and a library that catches everything keeps one for ever.
    environment.give_up()
    _write(environment, runner, monotonic() - began, final=True)


def _write(environment: LoadEnvironment, runner: LocalRunner, elapsed: float, *, final: bool) -> None:
    tally = environment.tally
    tally.busiest_cpu_percent = max(tally.busiest_cpu_percent, runner.current_cpu_usage)
    report = tally.report(elapsed_seconds=elapsed, users=runner.user_count, final=final)
    sys.stdout.write(report.model_dump_json() + "\n")
    sys.stdout.flush()


def _end_with_whoever_asked() -> None:
    while True:
        socket.wait_read(_STDIN)
        if not os.read(_STDIN, 1):
            os._exit(_ABANDONED)


if __name__ == "__main__":
    main()
