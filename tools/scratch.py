"""Where tests keep what they throw away: in memory, where there is room for it.

    python tools/scratch.py                     make such a directory and print its name

A database for each test is hundreds of files that are made and removed: on a disk, that is most of
what a test costs. TMPDIR, if set, says where temporary files belong, and is left as it is.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  mkdtemp makes what is used of it
ROOM = 6 * 2**30  # bytes; the large rooms of the plans' tests and a full log of the server


def roomy(memory: Path) -> bool:
    """Whether a place in memory can hold what tests make, their programs included."""
    try:
        place = os.statvfs(memory)
        available = int(
            next(
                line.split()[1]
                for line in Path("/proc/meminfo").read_text().splitlines()
                if line.startswith("MemAvailable:")
            )
        )
    except (OSError, StopIteration):  # not Linux
        return False
    runs_programs = not place.f_flag & os.ST_NOEXEC
    free = place.f_bavail * place.f_frsize
    enough = free >= ROOM and available * 1024 >= 2 * ROOM
    return os.access(memory, os.W_OK) and runs_programs and enough


def make() -> Path | None:
    """A new directory in memory, which everybody may enter; None: there is no room."""
    if not roomy(MEMORY):
        return None
    made = Path(tempfile.mkdtemp(prefix="arvo-", dir=MEMORY))
    made.chmod(0o1777)  # as root, servers run as another user
    return made


@contextlib.contextmanager
def temporary_files() -> Iterator[None]:
    """Have this process and those that it starts keep temporary files in memory meanwhile."""
    made = None if "TMPDIR" in os.environ else make()
    if made is None:
        yield
        return
    before, tempfile.tempdir = tempfile.tempdir, None
    os.environ["TMPDIR"] = str(made)
    try:
        yield
    finally:
        del os.environ["TMPDIR"]
        tempfile.tempdir = before
        shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    place = make()
    if place is None:
        sys.exit(1)
    print(place)
