"""Reload: a worker in a process of its own, which is started again when its files change."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

WATCHED = "ARVO_PLPG_WATCHED"
"""Set for a worker that is started again when files change: it is not to watch itself."""
_RHYTHM_SECONDS = 0.3
_SPARE_SECONDS = 15.0
_HIDDEN = {"__pycache__", "node_modules", "site-packages"}

Marks = dict[str, tuple[int, int]]


def reloading(folder: Path, grace: float) -> int:
    """Run this command as a worker, again and again, until a signal comes.

    Args:
        folder: ``.py`` files below it are watched.
        grace: seconds that a worker has at its end.

    Returns:
        The exit code of the last one that a signal ended; 0 otherwise.
    """
    logger = logging.getLogger("arvo_plpg")
    stopped, signals = threading.Event(), list[int]()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        signals.append(number)
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    code = 0
    while not stopped.is_set():
        marks = marks_of(folder)
        # A group of its own: Ctrl-C is for us, and we tell the worker once.
        child = subprocess.Popen(  # noqa: S603 - this program, as it was called
            [sys.executable, "-m", "arvo_plpg", *sys.argv[1:]],
            env={**os.environ, WATCHED: "1"},
            start_new_session=True,
        )
        while not stopped.wait(_RHYTHM_SECONDS) and marks_of(folder) == marks:
            if child.poll() is not None and code != (code := child.returncode):
                logger.warning("worker ended with %d; waiting for a change", code)
        changed = not stopped.is_set()
        if changed:
            logger.info("files have changed: starting again")
        running = child.poll() is None
        code = _end(child, grace, signals)
        if changed or not running:
            code = 0
    return code


def _end(child: subprocess.Popen[bytes], grace: float, signals: list[int]) -> int:
    """End a worker: cleanly, at once if there is a second signal, else by force."""
    ends_at = time.monotonic() + grace + _SPARE_SECONDS
    told = 0
    while (code := child.poll()) is None and time.monotonic() < ends_at:
        if told < 1 or told < min(len(signals), 2):
            child.send_signal(signal.SIGTERM)
            told += 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_RHYTHM_SECONDS)
    if code is None:
        child.kill()
    return child.wait()


def marks_of(folder: Path) -> Marks:
    """Return time and size of each ``.py`` file below a folder; hidden ones are left out."""
    marks: Marks = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _HIDDEN]
        for name in files:
            if name.endswith(".py"):
                try:
                    found = os.stat(os.path.join(place, name))  # noqa: PTH116, PTH118 - often
                except OSError:
                    continue
                marks[os.path.join(place, name)] = (found.st_mtime_ns, found.st_size)  # noqa: PTH118
    return marks
