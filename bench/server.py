"""Server: an embedded PostgreSQL with production durability, and a database for each cell."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, LiteralString, Self

import psycopg
from psycopg import sql

from arvo_plpg import embedded
from bench.process import cpu_seconds, thread_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

# fsync, synchronous_commit and full_page_writes are on: durable=True leaves them at their defaults.
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "off",
    "max_connections": "200",
    "autovacuum_naptime": "10s",
    "track_io_timing": "off",
    "jit": "off",
}
_SHOWN = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "autovacuum",
    "wal_level",
    *SETTINGS,
)


class Server:
    """A running server that holds nothing but databases of this benchmark.

    Args:
        more: settings beside ``SETTINGS``.

    Attributes:
        bin: where pgbench and psql are.
        settings: what was asked of it, and what matters of the rest.
    """

    def __init__(self, **more: str) -> None:
        options = [f"{name}={value}" for name, value in (SETTINGS | more).items()]
        self._server = embedded.start(durable=True, options=options)
        self.bin: Path = self._server.bin
        self._numbers = itertools.count(1)
        with self._connect() as connection:
            self.settings = {
                str(name): str(value)
                for name, value in connection.execute(
                    "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s)",
                    (list(_SHOWN),),
                )
            }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop()

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._server.uri, autocommit=True)

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[Database]:
        """A fresh database, dropped afterwards.

        Args:
            template: another database of this server, which it is a copy of.
        """
        name = self._create(template)
        try:
            yield Database(self._server.uri_of(name), self._server.pid)
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def template(self, furnish: Callable[[Database], None]) -> str:
        """Make a database that others can be copies of; it lives as long as the server.

        Args:
            furnish: fills it; whoever it leaves connected is thrown out.
        """
        name = self._create("template0")
        furnish(Database(self._server.uri_of(name), self._server.pid))
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        with self._connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (name,),
            )
        return name

    def _create(self, template: str) -> str:
        name = f"bench_{next(self._numbers)}"
        # Through the log, not by copying files: that asks for a checkpoint, after which the log
        # would hold a whole page for each that is touched.
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log", name, template)
        return name

    def _run(self, statement: LiteralString, *names: str) -> None:
        with self._connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class Database:
    """The database of one cell, and the meters of the server.

    Attributes:
        dsn: its connection string.
    """

    def __init__(self, dsn: str, pid: int) -> None:
        self.dsn = dsn
        self._pid = pid

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection in autocommit, of yours to close."""
        return psycopg.connect(self.dsn, autocommit=True)

    def settle_down(self) -> None:
        """Statistics as they would be after a while.

        No checkpoint: right after one, the log would hold a whole page for each that is touched.
        """
        with self.connect() as connection:
            connection.execute("ANALYZE")

    def wal_bytes(self) -> int:
        """How far the write-ahead log has come."""
        return self._number("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")

    def dead_tuples(self) -> int:
        """Dead rows in the tables of this database, as the statistics know them."""
        return self._number("SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables")

    def size_bytes(self) -> int:
        """How large the database is on disk."""
        return self._number("SELECT pg_database_size(current_database())")

    def cpu_seconds(self) -> float:
        """Processor time of all of the server's processes."""
        return cpu_seconds(self._pid)

    def backend_seconds(self) -> float:
        """Processor time of the sessions of this database alone, while they last."""
        with self.connect() as connection:
            pids = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()"
            ).fetchall()
        return sum(thread_seconds(int(str(pid))) for (pid,) in pids)

    def buffers(self) -> int:
        """Pages that sessions of this database have touched, as the statistics know them."""
        return self._number(
            "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()"
        )

    def _number(self, query: str) -> int:
        with self.connect() as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None  # noqa: S101  an aggregate or an expression
        return int(str(row[0]))
