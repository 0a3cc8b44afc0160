"""A load test as a process of its own: Locust patches whatever process it is in, so it is never in ours.

    async with started(test) as reports:
        async for report in reports:
            ...

The process ends with its test, with the context, and with the process that started it, even one that was killed.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import IO

from rollout.load_test import LoadReport, LoadTest

LONGEST_SILENCE_SECONDS = 60.0
"""It reports every second; the first report comes after Locust is loaded."""
SECONDS_TO_LEAVE = 10.0
"""From the final report to the end of the process, which has nothing left to do."""
_LARGEST_REPORT_BYTES = 4 * 1024 * 1024
_TOLD_OF_A_FAILURE = 2000


class LoadTestUnavailable(RuntimeError):  # noqa: N818  (named as what is the case)
    """Locust is not installed where the load test should run."""


class LoadTestBroke(RuntimeError):  # noqa: N818  (named as what is the case)
    """The process ended, or fell silent, before its test was over. It says nothing about what was tested."""


def must_be_available() -> None:
    """Raises LoadTestUnavailable, which names what has to be installed."""
    if find_spec("locust") is None:
        raise LoadTestUnavailable(
            "a load test needs Locust, which is not installed here: install the extra `load` "
            "(pip install 'cloud-run-rollout[load]')"
        )


@asynccontextmanager
async def started(test: LoadTest) -> AsyncIterator[AsyncIterator[LoadReport]]:
    """Start it; gives its reports as they come, the last one final.

    Raises:
        LoadTestUnavailable: nothing was started.
        LoadTestBroke: from the reports.
    """
    must_be_available()
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            # Not from the directory the user stands in, which may hold anything.
            *(sys.executable, "-P", "-m", "loadtest"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            limit=_LARGEST_REPORT_BYTES,
            # Ctrl-C in the terminal is for the command, which then ends its test.
            start_new_session=True,
        )
        try:
            assert process.stdin is not None, "it was asked for"  # noqa: S101
            process.stdin.write(test.model_dump_json().encode() + b"\n")
            yield _reports(process, said)
        finally:
            # It has nothing to put in order. One that has ended is left alone: to signal it would take its exit status
            # from asyncio, which then says on stderr that it knows no such child.
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
            await process.wait()


async def _reports(process: asyncio.subprocess.Process, said: IO[bytes]) -> AsyncIterator[LoadReport]:
    assert process.stdout is not None, "it was asked for"  # noqa: S101
    while True:
        try:
            async with asyncio.timeout(LONGEST_SILENCE_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            raise LoadTestBroke(f"the load test was silent for {LONGEST_SILENCE_SECONDS:g} s") from None
        if not line:
            code = await process.wait()
            said.seek(0)
            words = said.read().decode(errors="replace")[-_TOLD_OF_A_FAILURE:].strip()
            raise LoadTestBroke(f"the load test's process ended with code {code} before its time: {words}")
        report = LoadReport.model_validate_json(line)
        yield report
        if report.final:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), SECONDS_TO_LEAVE)
            return
