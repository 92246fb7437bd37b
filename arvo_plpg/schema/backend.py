"""yoyo's backend for our databases, used by our own runner and by the bare ``yoyo`` command.

Registered with yoyo under the scheme ``arvo``. ``arvo://`` alone takes ``DATABASE_URL``, so
that no password stands in a file, a prompt or a process list; ``arvo://user@host/database``
works too. It differs from yoyo's own backend in what yoyo 9.0 leaves open:

* roles and schema are created before its tables, which live in that schema;
* everything it creates belongs to the owner role;
* its lock is an advisory lock that dies with its session; a row that a killed run left in
  yoyo's lock table is cleared by whoever holds that lock;
* a run killed between a migration's commit and yoyo's mark is put right by the next one;
* rows that a statement returns are not printed.
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from psycopg import sql
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.migrations import default_migration_table

from arvo_plpg.errors import DatabaseUnreachable, SchemaOccupied
from arvo_plpg.schema.ground import prepare_ground
from arvo_plpg.schema.ledger import read_ledger
from arvo_plpg.schema.lock import WAIT, lock_key, run_lock
from arvo_plpg.schema.names import ORIGIN, Names
from arvo_plpg.schema.reach import lock_first
from arvo_plpg.schema.seals import verify
from arvo_plpg.schema.target import QuietCursor, Target
from arvo_plpg.schema.tree import SqlTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psycopg

LOCK_TIMEOUT = "250ms"
"""How long a migration waits for a table's lock. Whoever wants the table meanwhile waits behind it,
so it gives up soon, which undoes it, and the runner tries again. Shorter than the server's usual
``deadlock_timeout``: when it and a client wait for each other, it is the one that gives way.
"""

_OWN_TIMEOUT = re.compile(r"(?:\s*--[^\n]*\n)*\s*SET LOCAL lock_timeout\b")

_ACT_AS_OWNER = """SELECT set_config('role', %(owner)s, false)
                     FROM pg_namespace
                    WHERE nspname = %(schema)s AND pg_get_userbyid(nspowner) = %(owner)s"""


@dataclass(frozen=True, slots=True)
class Place:
    """What our runner hands over where yoyo expects a parsed URI.

    Args:
        target: The database.
        names: The installation.
        guarded: The run's lock is already held, and the ground prepared, by the caller.
        tables: What each transaction locks at its beginning, if it is there.
    """

    target: Target
    names: Names
    guarded: bool = True
    tables: tuple[str, ...] = ()

    @property
    def database(self) -> str:
        """Asked for by yoyo; ours needs no name to list tables."""
        return ""


def _place(uri: Any) -> Place:  # noqa: ANN401
    """Return the place that a URI parsed by yoyo means."""
    if isinstance(uri, Place):
        return uri
    if uri.username or uri.hostname or uri.database or uri.args:
        given = {
            "user": uri.username,
            "password": uri.password,
            "host": uri.hostname,
            "port": uri.port,
            "dbname": uri.database,
        }
        given = {key: value for key, value in given.items() if value} | uri.args
        return Place(Target.of(given), Names(ORIGIN), guarded=False)
    if not (dsn := os.environ.get("DATABASE_URL", "")):
        raise DatabaseUnreachable(
            "no database is named",
            hint="Set DATABASE_URL=postgresql://user:password@host:5432/database.",
        )
    return Place(Target.parse(dsn), Names(ORIGIN), guarded=False)


class _BriefCursor(QuietCursor):
    """Leaves out what a migration says of its patience: older ones wait for five seconds."""

    def execute(self, query: Any, *given: Any, **more: Any) -> Self:  # noqa: ANN401
        if isinstance(query, str) and _OWN_TIMEOUT.match(query):
            return super().execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        return super().execute(query, *given, **more)


class ArvoBackend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """One connection of yoyo's to a database of ours."""

    def __init__(self, uri: Any, migration_table: str = default_migration_table) -> None:  # noqa: ANN401
        self._place = _place(uri)
        super().__init__(self._place, migration_table)

    def connect(self, dburi: Place) -> psycopg.Connection[Any]:
        """Open a connection that prints nothing."""
        connection = dburi.target.connect("arvo-plpg migrate")
        connection.cursor_factory = _BriefCursor
        return connection

    def init_connection(self, connection: psycopg.Connection[Any]) -> None:
        """Set what every statement relies on: who acts, where yoyo's tables are, patience."""
        names = self._place.names
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(names.schema)))
        if names.roles:
            connection.execute(_ACT_AS_OWNER, {"owner": names.owner, "schema": names.schema})

    def init_database(self) -> None:
        """Create roles, schema and yoyo's lock table where they are missing."""
        self.has_transactional_ddl = True
        if self._place.guarded:
            self.create_lock_table()
            return
        tree = SqlTree.find()
        verify(tree)
        with run_lock(self.connection, self._place.names.schema):
            ledger = read_ledger(self.connection, self._place.names.schema)
            if not ledger.names.roles:
                raise SchemaOccupied(
                    "the schema is installed without roles",
                    detail="the files, which yoyo runs as they are, need them",
                    hint="Run: arvo-plpg migrate",
                )
            prepare_ground(self.connection, ledger.names, tree)
            self.init_connection(self.connection)
            self.create_lock_table()

    def create_lock_table(self) -> None:
        """Create yoyo's lock table unless it exists."""
        create = self.format_sql(self.create_lock_table_sql)
        self.execute(create.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))

    @contextmanager
    def lock(self, timeout: float = WAIT) -> Iterator[None]:
        """Hold the run's lock, and yoyo's row for those who only know that one."""
        if self._is_locked:
            yield
            return
        if self._place.guarded:
            with self._row_lock(timeout):
                yield
            return
        run = run_lock(self.connection, self._place.names.schema, max(timeout, WAIT))
        with run, self._row_lock(timeout):
            yield

    @contextmanager
    def _row_lock(self, timeout: float) -> Iterator[None]:
        self.break_lock()
        with super().lock(timeout):
            try:
                yield
            finally:
                self._is_locked = False

    def begin(self) -> None:
        """Begin a transaction that the next run can wait for."""
        super().begin()
        key = lock_key(self._place.names.schema, "step")
        self.connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (key,))
        if self._place.tables:
            lock_first(self.connection, list(self._place.tables))

    def reaching(self, tables: Iterable[str]) -> ArvoBackend:
        """Have the migrations that follow take the locks of these tables first."""
        self.uri = replace(self._place, tables=tuple(tables))  # what yoyo makes their backend of
        return self

    def reconcile(self, migrations: Any) -> list[str]:  # noqa: ANN401
        """Make yoyo's marks say what the migrations' own transactions said.

        Args:
            migrations: The migrations that may be marked or unmarked.

        Returns:
            The ids that were marked or unmarked.
        """
        self.ensure_internal_schema_updated()
        ledger = read_ledger(self.connection, self._place.names.schema)
        done = set(ledger.revisions)
        numbers = {migration: int(migration.id.partition(".")[0]) for migration in migrations}
        mark = [m for m, n in numbers.items() if n in done and m.id not in ledger.marked]
        unmark = [m for m, n in numbers.items() if n not in done and m.id in ledger.marked]
        if mark:
            self.mark_migrations(mark)
        if unmark:
            self.unmark_migrations(unmark)
        return [migration.id for migration in (*mark, *unmark)]

    def to_apply(self, migrations: Any) -> Any:  # noqa: ANN401
        """Return what is not applied yet, after putting a killed run's marks right."""
        if self._is_locked:
            self.reconcile(migrations)
        return super().to_apply(migrations)

    def to_rollback(self, migrations: Any) -> Any:  # noqa: ANN401
        """Return what is applied, newest first, after putting a killed run's marks right."""
        if self._is_locked:
            self.reconcile(migrations)
        return super().to_rollback(migrations)

    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:  # noqa: ANN401
        """Return a row of yoyo's log, naming the database's user.

        yoyo asks the operating system instead, which fails for a container's nameless user,
        and resolves the host's full name, which may wait for a name server.
        """
        return {
            "id": str(uuid.uuid1()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": self.connection.info.user,
            "hostname": socket.gethostname(),
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
            "operation": operation,
        }
