"""What the processes of revisions use of their container's limits, read from the kernel once per sample interval.

Where the kernel has no `/proc` (not Linux) there are no readings, and the utilisation metrics have no points.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from time import monotonic

from sandbox.clock import SECOND, SandboxClock
from sandbox.revision_processes import RevisionProcesses
from sandbox.served_traffic import ServedTraffic

CPU_LIMIT = 1.0
MEMORY_LIMIT = 512 * 1024 * 1024
"""The defaults of Cloud Run, 1000m and 512Mi, whatever the template asks for."""

_PROC = Path("/proc")
_HAS_PROC = _PROC.joinpath("self").exists()
_UTIME, _STIME = 11, 12
"""Fields of /proc/PID/stat after the command's closing parenthesis."""


class ContainerUsage:
    """Reads all processes again and again; `run` ends only by being cancelled."""

    def __init__(self, processes: RevisionProcesses, served: ServedTraffic, clock: SandboxClock) -> None:
        self._processes = processes
        self._served = served
        self._clock = clock
        self._before: dict[int, tuple[float, float]] = {}

    async def run(self) -> None:
        while _HAS_PROC:
            await asyncio.sleep(self._served.settings.sample_period / SECOND)
            instant = await self._clock.now()
            for each in self._processes:
                with suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
                    cpu, memory = self._cpu_share(each.process.pid), _memory(each.process.pid)
                    if cpu is not None:
                        self._served.used(each.service, each.revision, cpu, min(1.0, memory / MEMORY_LIMIT), instant)

    def _cpu_share(self, pid: int) -> float | None:
        """Since the reading before; None for the first one."""
        now = (monotonic(), _cpu_seconds(pid))
        before, self._before[pid] = self._before.get(pid), now
        if before is None:
            return None
        return min(1.0, (now[1] - before[1]) / (now[0] - before[0]) / CPU_LIMIT)


def _cpu_seconds(pid: int) -> float:
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Resident bytes."""
    return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
