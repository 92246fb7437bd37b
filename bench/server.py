"""Server: an embedded PostgreSQL with production durability, and a database for each cell."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg import sql

from arvo_plpg import embedded
from bench.process import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
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

    Attributes:
        bin: where pgbench and psql are.
        settings: what was asked of it, and what matters of the rest.
    """

    def __init__(self) -> None:
        options = [f"{name}={value}" for name, value in SETTINGS.items()]
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
    def database(self) -> Iterator[Database]:
        """A fresh database, dropped afterwards."""
        name = f"bench_{next(self._numbers)}"
        with self._connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
            )
        try:
            yield Database(self._server.uri_of(name), self._server.pid)
        finally:
            with self._connect() as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                )


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

    def _number(self, query: str) -> int:
        with self.connect() as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None  # noqa: S101  an aggregate or an expression
        return int(str(row[0]))
