"""History: what producers, workers and clients did and saw, one line of JSON each.

A line is one write to a file opened for appending, so a process that is killed leaves whole lines
behind. Times are the machine's monotonic clock: lines of different processes can be compared.

==============  ==================================================================================
kind            says
==============  ==================================================================================
``plan``        what each queue promises: see :class:`chaos.checker.Promise`
``committed``   ``events``: the COMMIT of their transaction was answered
``rolled back`` ``events``: their transaction was rolled back, or never reached COMMIT
``sent``        ``events``: their COMMIT is being sent; if not ``committed``, nobody knows
``began``       a handler began: ``event``, ``queue``, ``key``, ``lease``, ``delivery``, ``attempt``
``stepped``     a stateful handler read ``version`` of ``key``, and made ``number`` its next step
``ended``       the same handler returned; without it, it raised, was cancelled, or died
``told``        what the database said of a result: ``event``, ``queue``, ``attempt``, ``outcome``
==============  ==================================================================================
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Line = dict[str, Any]


class Log:
    """The log of one process.

    Args:
        path: the file; made when missing.
        who: the process, as it calls itself.
    """

    def __init__(self, path: Path, who: str) -> None:
        self._who = who
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)

    def note(self, kind: str, **facts: object) -> None:
        """Append one line."""
        line = {"kind": kind, "who": self._who, "at": time.monotonic(), **facts}
        os.write(self._file, json.dumps(line).encode() + b"\n")


def lines_of(text: str) -> list[Line]:
    """Read lines; what a process was writing when it died, without the end of its line, is not."""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def read(paths: Iterable[Path]) -> list[Line]:
    """Give the lines of several logs in the order of their times."""
    lines = [line for path in paths for line in lines_of(path.read_text())]
    return sorted(lines, key=lambda line: line["at"])
