"""One migration run at a time, for each database and schema name.

Two session advisory locks, both gone with their sessions, however those end:

``run``    held by a run's guard connection from start to end;
``step``   held by the transaction of each migration. A killed run's server process may
           still be at work when the guard's lock is already free, so the next run also
           waits until nobody holds this one.

Waiting is by asking again, not by blocking: a blocked ``pg_advisory_lock`` holds a snapshot,
and CREATE INDEX CONCURRENTLY in the running migration would wait for that snapshot forever.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from arvo_plpg.errors import MigrationLocked
from arvo_plpg.schema.target import fetch_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

WAIT = 60.0
"""Seconds to wait for another run."""

_PAUSE = 0.1


def lock_key(schema: str, part: str) -> int:
    """Return the advisory key of ``run`` or ``step`` for a schema name."""
    digest = hashlib.sha256(f"arvo-plpg migrate {part} {schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@contextmanager
def run_lock(conn: psycopg.Connection[Any], schema: str, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock of a whole run.

    Args:
        conn: An idle connection in autocommit mode; its session holds the lock.
        schema: Name of the installation.
        wait: Seconds to wait for another run.

    Raises:
        MigrationLocked: Another session still held it; the message says which.
    """
    deadline = time.monotonic() + wait
    key = lock_key(schema, "run")
    _take(conn, key, deadline, wait)
    try:
        step = lock_key(schema, "step")
        _take(conn, step, deadline, wait)
        conn.execute("SELECT pg_advisory_unlock(%s)", (step,))
        yield
    finally:
        if not conn.closed:
            conn.execute("SELECT pg_advisory_unlock(%s)", (key,))


def _take(conn: psycopg.Connection[Any], key: int, deadline: float, wait: float) -> None:
    while not fetch_value(conn, "SELECT pg_try_advisory_lock(%s)", (key,)):
        if time.monotonic() >= deadline:
            raise MigrationLocked(
                "another migration run holds the lock",
                detail=f"waited {wait:g} s; {_holder(conn, key)}",
                hint="Wait for it, or end that session with pg_terminate_backend(pid).",
            )
        time.sleep(_PAUSE)


def _holder(conn: psycopg.Connection[Any], key: int) -> str:
    row = conn.execute(
        """SELECT session.pid, session.usename, session.application_name,
                  host(session.client_addr), session.backend_start::text, session.state
             FROM pg_locks AS held
             JOIN pg_stat_activity AS session ON session.pid = held.pid
            WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
              AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND ((held.classid::bigint << 32) | held.objid::bigint) = %s""",
        (key,),
    ).fetchone()
    if row is None:
        return "its holder has just left"
    facts = ("pid {}", "user {}", "program {!r}", "from {}", "connected since {}", "{}")
    known = zip(facts, row, strict=True)  # of other users' sessions, not everybody sees all
    return "held by " + ", ".join(fact.format(value) for fact, value in known if value)
