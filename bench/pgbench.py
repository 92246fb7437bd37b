"""Pgbench: the program that comes with PostgreSQL, for what SQL alone can do."""

from __future__ import annotations

import re
import subprocess
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.server import Database

_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


class PgbenchError(Exception):
    """It failed; the message has its last lines."""


def transactions_per_second(
    programs: Path,
    database: Database,
    script: str,
    *,
    clients: int,
    seconds: float,
    transactions: int | None = None,
) -> float:
    """Run a script over and over.

    Args:
        programs: where pgbench is.
        database: to run it in.
        script: of one transaction.
        clients: who run it at the same time.
        seconds: for how long, if nothing else ends it.
        transactions: after how many each client is done.

    Raises:
        PgbenchError: a client was refused something.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        words = [str(programs / "pgbench"), "-n", "-M", "prepared", "-f", file.name]
        words += ["-c", str(clients), "-j", str(min(2, clients))]
        words += ["-t", str(transactions)] if transactions else ["-T", str(max(1, round(seconds)))]
        done = subprocess.run(
            [*words, database.dsn], capture_output=True, text=True, check=False, timeout=600
        )
    found = _RATE.search(done.stdout)
    if done.returncode or found is None:
        raise PgbenchError(" ".join(done.stderr.split()[-40:]))
    return float(found[1])
