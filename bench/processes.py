"""What processes cost: the processor time they have used and the memory they hold, as the kernel counts them."""

import os
from collections.abc import Mapping
from pathlib import Path

_MIB = 2**20


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Of each process since it began, by its name. Unlike the time that passes, it is the same on a busy machine.

    Raises:
        OSError: one has ended, or this system has no /proc.
    """
    return {name: _cpu_seconds(pid) for name, pid in pids.items()}


def resident_mib(pid: int) -> float:
    """What a process holds in memory. Raises as `cpu_seconds`."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def _cpu_seconds(pid: int) -> float:
    # The command in parentheses may hold blanks; the 14th and 15th field are user and system time in ticks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
