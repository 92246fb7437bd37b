"""Process: how much processor time a process and its children have used, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process, of its children that live and of those it has reaped.

    0 when there is no such process.
    """
    total = _own(pid)
    return total + sum(_own(child) for child in _children(pid))


def _own(pid: int) -> float:
    fields = _fields(pid)
    # user, system, and both of reaped children: fields 14 to 17 of proc(5), counted after the name
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


def _children(pid: int) -> list[int]:
    others = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [other for other in others if (fields := _fields(other)) and int(fields[1]) == pid]


def _fields(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()


def resident_megabytes(pid: int) -> float:
    """Memory that a process has in RAM; 0 when there is no such process."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def machine() -> dict[str, str]:
    """What the figures were made on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    memory = Path("/proc/meminfo").read_text().split()[1]
    system = os.uname()
    return {
        "cpu": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory) / 2**20:.1f} GiB",
        "system": f"{system.sysname} {system.release} {system.machine}",
        "load when started": f"{os.getloadavg()[0]:.2f}",
    }
