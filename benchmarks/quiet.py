"""Watches what other programs take of the CPU while something is measured.

Pressure figures cannot tell a neighbour's load from the benchmark's own, so this counts: all busy
time of the machine (stolen time included) minus that of this process and everything that it started.
"""

import os
import time
from pathlib import Path
from typing import Self

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IDLE_COLUMNS = (3, 4)  # idle and waiting for disks, of /proc/stat's first line
_TIME_COLUMNS = slice(11, 15)  # user, system, and both of children that ended


class OthersWatch:
    """Cores that others use, from its making to each reading.

    What a child used while it ran counts as its parent's once it was waited for, so the sum over the
    living never falls.
    """

    def __init__(self) -> None:
        self._started_at = time.perf_counter()
        self._others_s = _busy_s() - own_cpu_s(os.getpid())

    def cores(self) -> float:
        """Cores used by others so far, on average; 0 where counting ticks gives less."""
        elapsed_s = time.perf_counter() - self._started_at
        used_s = _busy_s() - own_cpu_s(os.getpid()) - self._others_s
        return max(used_s / elapsed_s, 0.0)


class CpuWatch:
    """The CPU seconds of this process alone, inside a ``with``: what a client costs."""

    def __enter__(self) -> Self:
        self._started_s, self._started_at = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s = time.perf_counter() - self._started_at
        self.cpu_s = time.process_time() - self._started_s


def own_cpu_s(pid: int) -> float:
    """CPU seconds of a process and all that it started, ended ones included."""
    ticks = 0
    for member in [pid, *descendants(pid)]:
        try:
            stat = Path(f"/proc/{member}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended since it was listed
        ticks += sum(map(int, stat.rsplit(")", 1)[1].split()[_TIME_COLUMNS]))
    return ticks / _TICKS_PER_S


def descendants(pid: int) -> list[int]:
    """Processes that a process started, and those that they started."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in path.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread ended since it was listed
        for child in children:
            found += [child, *descendants(child)]
    return found


def _busy_s() -> float:
    columns = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(columns) - sum(columns[index] for index in _IDLE_COLUMNS)) / _TICKS_PER_S
