"""Runs migrations: yoyo as runner and ledger, and around it what yoyo lacks.

Order of a run: read the files and prove their seals; take the lock; read what the database
has; refuse a newer one; plan; create roles and schema; let yoyo apply one after the other,
each in a transaction of its own that also writes its row in ``revision``.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from yoyo import read_migrations
from yoyo.exceptions import BadMigration

from arvo_plpg.errors import MigrationFailed, SchemaMissing, SqlTreeBroken
from arvo_plpg.schema.backend import ArvoBackend, Place
from arvo_plpg.schema.edition import Edition
from arvo_plpg.schema.ground import ground_statements, prepare_ground
from arvo_plpg.schema.ledger import Ledger, read_ledger
from arvo_plpg.schema.lock import WAIT, run_lock
from arvo_plpg.schema.names import ORIGIN, Names
from arvo_plpg.schema.plan import backward, forward
from arvo_plpg.schema.reach import named_tables
from arvo_plpg.schema.seals import verify
from arvo_plpg.schema.target import Target
from arvo_plpg.schema.tree import Migration, SqlTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_PAUSES = (0.25, 0.75)
"""Shortest and longest pause, in seconds, before a migration tries again to get its locks."""

_READING = threading.Lock()
"""yoyo resolves ``-- depends:`` in a registry of the process; two editions must not mix there."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Args:
        ids: Migrations, in the order in which they would run.
        script: The statements, ready for psql; running them by hand does the same, and the
            next run notices that it was done.
    """

    ids: list[str]
    script: str


@dataclass(frozen=True, slots=True)
class _Way:
    """Forward or back: which text of a migration runs, and what runs it."""

    text: Callable[[Migration], str]
    step: Callable[[ArvoBackend, Any], None]


_APPLY = _Way(lambda m: m.text, lambda b, m: b.apply_one(m))
_UNDO = _Way(lambda m: m.rollback_text, lambda b, m: b.rollback_one(m))


@dataclass(frozen=True, slots=True)
class _Source:
    """The files and the database of one run, both looked at but not touched."""

    tree: SqlTree
    migrations: list[Migration]
    target: Target
    schema: str

    @classmethod
    def open(cls, dsn: str, schema: str, sql_root: Path | None) -> _Source:
        Names(schema)
        tree = SqlTree.find(sql_root)
        migrations = tree.shipped()
        verify(tree)
        return cls(tree, migrations, Target.parse(dsn), schema)

    def ledger(self, conn: psycopg.Connection[Any], *, roles: bool | None) -> Ledger:
        ledger = read_ledger(conn, self.schema, roles=roles)
        ledger.refuse_newer(self.migrations)
        return ledger


def _wanted(*, roles: bool) -> bool | None:
    """Translate the public default: roles are taken for a new name, not forced on an old one."""
    return None if roles else False


def migrate(
    dsn: str,
    *,
    schema: str = ORIGIN,
    roles: bool = True,
    after: bool = False,
    to: int | None = None,
    wait: float = WAIT,
    sql_root: Path | None = None,
) -> list[str]:
    """Bring a database forward.

    Any number of processes may call this at once; one works, the others wait and then find
    nothing to do. A killed run may simply be run again.

    Args:
        dsn: Connection string, URI or ``key=value``.
        schema: Name of the installation.
        roles: Whether a new installation gets roles of its own. One that exists stays as it
            is; ``False`` on one with roles is an error.
        after: Also apply migrations that may only run once the last old client is gone.
        to: Number of the last migration to apply; None for all.
        wait: Seconds to wait for another run; and, each migration, for tables that others have
            locked. While it waits nobody waits behind it for longer than a moment.
        sql_root: Folder with ``migrations/`` and ``roles.sql``; found when not given.

    Returns:
        The ids applied, in order; empty when there was nothing to do.

    Raises:
        SchemaError: Any of its kinds; see ``arvo_plpg.errors``.
    """
    source = _Source.open(dsn, schema, sql_root)
    with _guarded(source, wait) as guard:
        ledger = source.ledger(guard, roles=_wanted(roles=roles))
        todo = forward(source.migrations, ledger.revisions, after=after, to=to)
        prepare_ground(guard, ledger.names, source.tree)
        return _run(source, guard, ledger.names, todo, _APPLY, wait=wait)


def rollback(
    dsn: str,
    *,
    to: int,
    schema: str = ORIGIN,
    yes_lose_data: bool = False,
    wait: float = WAIT,
    sql_root: Path | None = None,
) -> list[str]:
    """Take a database back.

    Args:
        dsn: Connection string, URI or ``key=value``.
        to: Number of the last migration to keep; 0 undoes everything and leaves the roles,
            and the schema with yoyo's tables.
        schema: Name of the installation.
        yes_lose_data: Agree to losing what the undo files say they lose.
        wait: Seconds to wait for another run; and, each migration, for tables that others have
            locked. While it waits nobody waits behind it for longer than a moment.
        sql_root: Folder with ``migrations/``; found when not given.

    Returns:
        The ids undone, newest first.

    Raises:
        DataLossRefused: An undo loses data, and ``yes_lose_data`` was not given.
        SchemaMissing: Nothing is installed under that name.
        SchemaError: Any of its other kinds; see ``arvo_plpg.errors``.
    """
    source = _Source.open(dsn, schema, sql_root)
    with _guarded(source, wait) as guard:
        ledger = _installed(source, guard)
        undo = backward(source.migrations, ledger.revisions, to=to, yes_lose_data=yes_lose_data)
        return _run(source, guard, ledger.names, undo, _UNDO, wait=wait)


def plan_migrate(
    dsn: str,
    *,
    schema: str = ORIGIN,
    roles: bool = True,
    after: bool = False,
    to: int | None = None,
    sql_root: Path | None = None,
) -> Plan:
    """Say what ``migrate`` would do, with the same arguments; changes nothing."""
    source = _Source.open(dsn, schema, sql_root)
    with source.target.session("arvo-plpg plan") as conn:
        ledger = source.ledger(conn, roles=_wanted(roles=roles))
        todo = forward(source.migrations, ledger.revisions, after=after, to=to)
        edition = Edition(ledger.names)
        parts = []
        if ground_statements(conn, ledger.names) and ledger.names.roles:
            parts.append(edition.text(source.tree.roles_text))
        if not ledger.exists:
            owner = f" AUTHORIZATION {ledger.names.owner}" if ledger.names.roles else ""
            parts.append(f"CREATE SCHEMA IF NOT EXISTS {schema}{owner};\n")
        parts += [_transaction(m.id, edition.text(m.text)) for m in todo]
        return Plan([m.id for m in todo], "\n".join(parts))


def plan_rollback(dsn: str, *, to: int, schema: str = ORIGIN, sql_root: Path | None = None) -> Plan:
    """Say what ``rollback`` would do; changes nothing."""
    source = _Source.open(dsn, schema, sql_root)
    with source.target.session("arvo-plpg plan") as conn:
        ledger = _installed(source, conn)
        undo = backward(source.migrations, ledger.revisions, to=to, yes_lose_data=True)
        edition = Edition(ledger.names)
        parts = [_transaction(m.id + ".rollback", edition.text(m.rollback_text)) for m in undo]
        return Plan([m.id for m in undo], "\n".join(parts))


def _installed(source: _Source, conn: psycopg.Connection[Any]) -> Ledger:
    ledger = source.ledger(conn, roles=None)
    if not ledger.exists:
        raise SchemaMissing(
            "nothing is installed under this name",
            detail=f"schema {source.schema} does not exist in this database",
            hint="Check the DSN and the schema name.",
        )
    return ledger


def _transaction(title: str, text: str) -> str:
    if "\n-- transactional: false" in f"\n{text}":
        return f"-- {title}\n{text}"
    return f"-- {title}\nBEGIN;\n{text}COMMIT;\n"


@contextmanager
def _guarded(source: _Source, wait: float) -> Iterator[psycopg.Connection[Any]]:
    """Hold the run's lock on a connection of its own, for as long as the run takes."""
    with (
        source.target.session("arvo-plpg migrate (guard)") as guard,
        run_lock(guard, source.schema, wait),
    ):
        guard.execute("SET idle_session_timeout = 0")
        yield guard


def _run(
    source: _Source,
    guard: psycopg.Connection[Any],
    names: Names,
    wanted: Sequence[Migration],
    way: _Way,
    *,
    wait: float,
) -> list[str]:
    """Let yoyo take one step after the other."""
    done: list[str] = []
    with ExitStack() as stack:
        edition = Edition(names)
        known = _known(stack, source, edition, wanted)
        backend = stack.enter_context(ArvoBackend(Place(source.target, names)))
        backend.init_database()
        stack.enter_context(backend.lock())
        backend.reconcile(known.values())
        for migration in wanted:
            guard.execute("SELECT 1")  # who has lost the lock must not go on
            try:
                tables = named_tables(edition.text(way.text(migration)))
                _insist(way.step, backend.reaching(tables), known[migration.id], wait)
            except psycopg.Error as error:
                raise _failed(source.target, migration, error, done) from error
            done.append(migration.id)
    return done


def _insist(
    step: Callable[[ArvoBackend, Any], None],
    backend: ArvoBackend,
    migration: Any,  # noqa: ANN401 - yoyo has no types
    wait: float,
) -> None:
    """Take a step; when somebody has held a lock for too long, make room, and take it again.

    A migration without a transaction is not taken again: part of it may have been kept.

    Raises:
        psycopg.Error: what else went wrong; or that the locks could not be had in ``wait`` seconds.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            return step(backend, migration)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if not migration.use_transactions or time.monotonic() >= deadline:
                raise
        time.sleep(random.uniform(*_PAUSES))  # noqa: S311 - jitter


def _known(
    stack: ExitStack, source: _Source, edition: Edition, wanted: Sequence[Migration]
) -> dict[str, Any]:
    """Return yoyo's migrations by id; the wanted ones are read, for cutting them takes long."""
    folder = source.tree.migrations_dir
    names = {migration.id for migration in wanted}
    if not edition.original:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="arvo-edition-")))
        for path in source.tree.migration_files():
            read = path.name.removesuffix(".sql").removesuffix(".rollback") in names
            text = edition.text(path.read_text(encoding="utf-8")) if read else ""
            (folder / path.name).write_text(text, encoding="utf-8")
    with _READING:
        known = {one.id: one for one in read_migrations(str(folder).replace("[", "[[]"))}
        try:
            for name in names:
                known[name].load()
        except BadMigration as error:
            raise SqlTreeBroken("yoyo cannot read a migration", detail=str(error)) from error
    return known


def _failed(
    target: Target, migration: Migration, error: psycopg.Error, done: Sequence[str]
) -> MigrationFailed:
    facts = [f"{migration.id}: {target.scrub(str(error)).strip()}"]
    if error.sqlstate:
        facts.append(f"SQLSTATE {error.sqlstate}")
    if done:
        facts.append(f"these are done: {', '.join(done)}")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        hint = "A table is in use by a long transaction. End that, or run again later."
    else:
        hint = "Nothing of this migration was kept. Put the cause right and run again."
    return MigrationFailed("a migration failed", detail="\n".join(facts), hint=hint)
