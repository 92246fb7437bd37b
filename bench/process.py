"""Process: what a process and its children use of the machine, from /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process, of its children that live and of those it has reaped.

    0 when there is no such process.
    """
    while True:
        children = _children(pid)
        total = _own(pid) + sum(map(_own, children))
        if _children(pid) == children:  # one that ends meanwhile would count twice, or not at all
            return total


def thread_seconds(pid: int) -> float:
    """What the living threads of a process have used, exact to the microsecond."""
    total = 0
    for thread in _threads(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def _own(pid: int) -> float:
    fields = _fields(pid)
    if not fields:
        return 0.0
    # User, system, and both of reaped children: fields 14 to 17 of proc(5), counted after the name,
    # in ticks of 10 ms. The kernel knows threads that live more exactly, but no thread that ended.
    user, system, *reaped = (int(field) / _TICKS for field in fields[11:15])
    return max(user + system, thread_seconds(pid)) + sum(reaped)


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
