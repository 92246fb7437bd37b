"""Run the suites on each version of PostgreSQL, and through PgBouncer; print a table of both.

    python tools/matrix.py                        all
    python tools/matrix.py --only 16 --only 1.24  some of the rows
    python tools/matrix.py --only 16 --suite ladder  and one of the suites

15 is Debian's, 16 and 17 are npm's, 18 is the wheel's; see testbed.py and pgbouncer.py. What cannot
be had here is a failure: a matrix with holes proves nothing.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import debian
import testbed

from arvo_plpg import embedded

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 1800  # seconds for one suite
OPTIONS = ("max_connections=200", "deadlock_timeout=100ms", "max_prepared_transactions=20")
CLIENT = "tests/python/client"
FILES = ("broker", "memory", "promises", "ordered", "waking", "copying")
LADDER = "tests/python/schema/test_ladder.py"
NOT_THROUGH_A_POOLER = (
    # It counts the server's connections, which the pooler keeps.
    f"{CLIENT}/test_broker.py::test_stop_leaves_no_connection_task_or_thread",
)
SHOWN = 25  # lines of a failure


@dataclass(frozen=True)
class Row:
    """A server, or a way to it.

    Attributes:
        name: What it is called in the table.
        server: One of testbed.CHOICES.
        pooler: As ARVO_TEST_POOLER; empty: none.
    """

    name: str
    server: str
    pooler: str = ""


ROWS = (
    Row("PostgreSQL 15", "debian15"),
    Row("PostgreSQL 16", "npm16"),
    Row("PostgreSQL 17", "npm17"),
    Row("PostgreSQL 18", "wheel"),
    Row("18, PgBouncer 1.18, unprepared", "wheel", "1.18/unprepared"),
    Row("18, PgBouncer 1.24", "wheel", "1.24"),
    Row("18, PgBouncer 1.24, max_prepared_statements=0", "wheel", "1.24/unprepared"),
)
COLUMNS = ("pgTAP", "isolation", "ladder", "client")


@dataclass
class Cell:
    """What became of a suite.

    Attributes:
        text: For the table.
        good: Whether it passed.
        said: The end of its output.
    """

    text: str
    good: bool = True
    said: str = field(default="", repr=False)


@contextmanager
def serving(row: Row) -> Iterator[str]:
    """Start a row's server; its connection string."""
    with embedded.start(options=OPTIONS, binaries=testbed.find_server(row.server)) as server:
        yield server.uri


def command(row: Row, column: str) -> list[str] | None:
    """The program of a cell; None: the suite does not go through a pooler."""
    python = sys.executable
    # What hangs is ended by PATIENCE; a test that is slow on a busy machine is not at fault.
    limit = f"--timeout={PATIENCE // 3}"
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "1", limit]
    if column == "client":
        files = [f"{CLIENT}/test_{name}.py" for name in FILES]
        left_out = [f"--deselect={name}" for name in NOT_THROUGH_A_POOLER if row.pooler]
        return [*pytest, *files, *left_out]
    if row.pooler:
        return None
    if column == "ladder":
        return [*pytest, LADDER]
    tool = "prove" if column == "pgTAP" else "isolation"
    return [python, f"tools/{tool}.py", "--server", row.server]


def run(row: Row, column: str) -> Cell:
    """Run the suite of a cell."""
    words = command(row, column)
    if words is None:
        return Cell("-")
    began = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name[:10] != "ARVO_TEST_"}
    try:
        if words[1] == "-m":
            with serving(row) as dsn:
                more = {"ARVO_TEST_DSN": dsn, "ARVO_TEST_POOLER": row.pooler}
                done = _output(words, environment | more)
        else:
            done = _output(words, environment)
    except (debian.UnobtainableError, embedded.EmbeddedError, subprocess.TimeoutExpired) as reason:
        return Cell("not run", good=False, said=str(reason))
    seconds = time.monotonic() - began
    last = "\n".join((done.stdout + done.stderr).splitlines()[-SHOWN:])
    if done.returncode:
        return Cell("FAILED", good=False, said=last)
    return Cell(f"{_count(done.stdout)} ({seconds:.0f} s)", said=last)


def _output(words: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def _count(said: str) -> str:
    """How many tests have passed, as the suite says."""
    for line in reversed(said.splitlines()):
        words = line.replace(",", " ").replace("=", " ").split()
        for word, before in zip(words[1:], words, strict=False):
            if word == "passed" and before.isdigit():
                return before
        if line.startswith("Files="):
            return line.partition("Tests=")[2].partition(",")[0]
    return "passed"


def main() -> int:
    """Run the rows that are asked for; 1 when a cell has failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", default=[], help="a part of a row's name")
    parser.add_argument("--suite", action="append", choices=COLUMNS, help="all, unless given")
    arguments = parser.parse_args()
    columns = arguments.suite or COLUMNS
    rows = [
        row for row in ROWS if not arguments.only or any(one in row.name for one in arguments.only)
    ]
    if not rows:
        sys.stderr.write(f"matrix: no such row: {', '.join(arguments.only)}\n")
        return 1
    cells: dict[tuple[Row, str], Cell] = {}
    for row in rows:
        for column in columns:
            cell = cells[row, column] = run(row, column)
            print(f"{'ok' if cell.good else 'not ok'} - {row.name}, {column}: {cell.text}")
            if not cell.good:
                print(cell.said)
            sys.stdout.flush()
    print(f"\n| | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for row in rows:
        print(f"| {row.name} | {' | '.join(cells[row, column].text for column in columns)} |")
    failed = sum(not cell.good for cell in cells.values())
    print(f"\nmatrix: {'FAILED' if failed else 'passed'}, {len(cells)} cells, {failed} not passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
