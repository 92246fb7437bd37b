"""PostgresMachineMemory: the memory that users of the seed know, on top of the contract.

Inside a worker, a stateful handler gets the memory of its delivery instead (one transaction per
step). This object talks to the database directly: for handlers that run outside a worker, and for
looking at workflows.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import Field

from arvo_plpg._async.memory import Memory
from arvo_plpg.errors import ArvoError, InvalidOption, SchemaMissing, UnsupportedVersion
from arvo_plpg.machine_memory import MemoryMetadata, StateRecord
from arvo_plpg.options import Options
from arvo_plpg.runtime.connect import (
    Pool,
    is_lost,
    lend,
    open_pool,
    shake_hands,
    unreachable,
)
from arvo_plpg.runtime.memory_span import memory_span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Span

    from arvo_plpg.rows import Kin, LockedState, State

Milliseconds = Annotated[int, Field(ge=1)]
_READ_ATTEMPTS = 3
_FRESH_SECONDS = 1.0
_FORCED = ("dangerously_force_migration", "dangerousely_force_migration")
_TABLES = {
    "state": "arvopg_mm_state",
    "lock": "arvopg_mm_lock",
    "hierarchy": "arvopg_mm_hierarchy",
}
MigrateMode = Literal[
    "noop",
    "if_tables_dont_exist",
    "create_if_not_exists",
    "dangerously_force_migration",
    "dangerousely_force_migration",
]


class LockConfig(Options):
    """How locks are taken.

    Attributes:
        max_retries: further attempts when the lock is held.
        initial_delay_ms: wait before the first of them.
        backoff_exponent: factor by which each further wait grows.
        ttl_ms: how long a lock lasts unless it is renewed.
    """

    max_retries: Annotated[int, Field(ge=0)] = 3
    initial_delay_ms: Milliseconds = 100
    backoff_exponent: Annotated[float, Field(ge=1)] = 1.5
    ttl_ms: Milliseconds = 120_000


class MemoryConfig(Options):
    """Where the memory lives and how it connects; the seed's names and defaults.

    Attributes:
        connection_string: of libpq; wins over the five single parts that follow.
        host: name or address of the server.
        port: its port.
        user: who connects.
        password: of that user.
        database: name of the database.
        max: most connections of the pool.
        idle_timeout_millis: how long an unused connection is kept.
        connection_timeout_millis: how long to wait for a connection.
        statement_timeout_millis: how long a statement may run; the server ends it then. 0: as long
            as the server allows. It is told to the server on connecting, which PgBouncer refuses:
            0 for that.
        query_timeout_millis: how long to wait for an answer; then the call is given up here,
            whatever the server does.
        prepare_threshold: after how many calls a statement is prepared; None: never, for poolers
            that do not know prepared statements.
        lock_config: how locks are taken.
        enable_cleanup: whether a finished workflow's state is removed.
        enable_otel: whether each operation is an OpenTelemetry span.
        schema_name: name of the installation.
    """

    connection_string: str | None = Field(default=None, repr=False)
    host: str = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    user: str = "postgres"
    password: str = Field(default="postgres", repr=False)
    database: str = "postgres"
    max: Annotated[int, Field(ge=1)] = 10
    idle_timeout_millis: Milliseconds = 30_000
    connection_timeout_millis: Milliseconds = 5_000
    statement_timeout_millis: Annotated[int, Field(ge=0)] = 30_000
    query_timeout_millis: Milliseconds = 30_000
    prepare_threshold: Annotated[int, Field(ge=0)] | None = 5
    lock_config: LockConfig = LockConfig()
    enable_cleanup: bool = False
    enable_otel: bool = False
    schema_name: str = "arvo"

    def dsn(self) -> str:
        """The connection string; parts are quoted, so a password may hold any character."""
        if self.connection_string is not None:
            return self.connection_string
        return make_conninfo(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=self.database,
        )

    def connect_seconds(self) -> int:
        """How long to wait for the server, in the whole seconds that libpq counts."""
        return math.ceil(self.connection_timeout_millis / 1000)


async def connect_postgres_machine_memory(
    *,
    config: MemoryConfig,
    version: int = 1,
    migrate: MigrateMode = "noop",
    tables: Mapping[str, str] | None = None,
) -> PostgresMachineMemory:
    """Connect to the memory and check that it is there.

    Args:
        config: where it lives.
        version: version of the contract; 1 is the only one.
        migrate: ``noop`` expects it to be installed; ``create_if_not_exists`` (or
            ``if_tables_dont_exist``, the seed's other name) brings the database forward first;
            ``dangerously_force_migration`` (the seed also writes ``dangerousely_…``) destroys
            what is installed under this name, states, queues and history, and installs it anew.
        tables: the seed's names for tables. Here an installation is named as a whole, by
            ``schema_name``: anything but the seed's defaults is refused.

    Raises:
        UnsupportedVersion: another version than 1.
        DatabaseUnreachable: the database does not answer.
        SchemaMissing: nothing is installed there.
    """
    if version != 1:
        raise UnsupportedVersion(
            f"Unsupported PostgreSQL machine memory version: {version}", hint="Use version 1."
        )
    if migrate not in get_args(MigrateMode):
        raise InvalidOption(
            "option is not valid",
            detail=f"migrate is {migrate!a}",
            hint=f"Use one of {', '.join(get_args(MigrateMode))}.",
            field="migrate",
        )
    _check_tables(tables or {})
    if migrate != "noop":
        await asyncio.to_thread(_migrate, config, forced=migrate in _FORCED)
    await shake_hands(config.dsn(), config.schema_name, config.connect_seconds())
    pool = await open_pool(
        config.dsn(),
        config.schema_name,
        config.max,
        wait_seconds=config.connection_timeout_millis / 1000,
        idle_seconds=config.idle_timeout_millis / 1000,
        options={
            "prepare_threshold": config.prepare_threshold,
            **({"options": told} if (told := _server_options(config)) else {}),
        },
    )
    return PostgresMachineMemory(pool, config)


def _check_tables(tables: Mapping[str, str]) -> None:
    for table, name in tables.items():
        if _TABLES.get(table) != name:
            raise InvalidOption(
                "option is not valid",
                detail=f"tables: {table!a:.80} is {name!a:.80}",
                hint="Tables have no names of their own here. To have several memories in one "
                "database, name the installations: MemoryConfig(schema_name=…). To take over "
                "tables of the TypeScript package: arvo-plpg import-v1.",
                field="tables",
            )


def _migrate(config: MemoryConfig, *, forced: bool) -> None:
    from arvo_plpg.schema import migrate, rollback  # noqa: PLC0415 - costly, and rare

    if forced:
        with suppress(SchemaMissing):  # then there is nothing to destroy
            rollback(config.dsn(), to=0, schema=config.schema_name, yes_lose_data=True)
    migrate(config.dsn(), schema=config.schema_name)


def _server_options(config: MemoryConfig) -> str:
    given = str(conninfo_to_dict(config.dsn()).get("options") or "")
    if not config.statement_timeout_millis:
        return given
    return f"-c statement_timeout={config.statement_timeout_millis} {given}".strip()


async def release_postgres_machine_memory(memory: PostgresMachineMemory) -> None:
    """Close the memory's connections."""
    await memory.close()


class _Held:
    """A lock that is held, and the state that came with it, for the read that follows at once."""

    __slots__ = ("_fresh_until", "_state", "token")

    def __init__(self, locked: LockedState, seconds: float) -> None:
        self.token = locked.token
        self._state: LockedState | None = locked
        self._fresh_until = time.monotonic() + min(seconds, _FRESH_SECONDS)

    def take_state(self) -> LockedState | None:
        """The state as it was when the lock was taken; once, and not for long."""
        state, self._state = self._state, None
        return state if time.monotonic() < self._fresh_until else None


class PostgresMachineMemory:
    """The memory of workflows, directly in the database.

    Locks carry an owner token: only the holder's ``unlock`` removes one, and a write under a lock
    that was lost is refused. No connection is held while waiting for a lock. A lock comes with the
    state, so that the read after it costs nothing. Taking and giving back a lock does not wait for
    the disk; writes do.

    Args:
        pool: an open pool in autocommit.
        config: see :class:`MemoryConfig`.
    """

    commits_with_events = False

    def __init__(self, pool: Pool, config: MemoryConfig) -> None:
        self._pool = pool
        self._config = config
        self._tokens: ContextVar[dict[str, _Held]] = ContextVar("arvo_plpg_lock_tokens")

    async def read(self, subject: str) -> StateRecord | None:
        """Give the state of a subject; None if it has none. Tries three times."""
        with self._span("read", subject) as span:
            held = self._tokens.get({}).get(subject)
            locked = held.take_state() if held is not None else None
            if locked is not None:
                span.set_attribute("available", locked.data is not None)
                if locked.data is None:
                    return None
                span.set_attribute("version", locked.version)
                return StateRecord(locked.data, version=locked.version)
            state = await self._read(subject)
            span.set_attribute("available", state is not None)
            if state is None:
                return None
            span.set_attribute("version", state.version)
            return StateRecord(state.data, version=state.version)

    async def _read(self, subject: str) -> State | None:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._lend() as connection:
                    return await self._memory(connection).read_state(subject)
            except (psycopg.Error, OSError) as error:
                if attempt == _READ_ATTEMPTS or not is_lost(error):
                    raise
                await asyncio.sleep(0.05 * 2**attempt)

    async def write(
        self,
        subject: str,
        data: Mapping[str, object],
        previous: StateRecord | None,
        metadata: MemoryMetadata,
    ) -> None:
        """Store the next state; under this context's lock on the subject, if it has one.

        Raises:
            VersionConflict: the state is no longer ``previous``.
            LockLost: the lock has lapsed.
            InvalidArgument: the data is not JSON that the database can keep.
        """
        with self._span("write", subject) as span:
            span.set_attribute("isNew", previous is None)
            held = self._tokens.get({}).get(subject)
            if held is not None:
                held.take_state()
            async with self._lend() as connection:
                version = await self._memory(connection).write_state(
                    subject,
                    data,
                    previous.version if previous is not None else 0,
                    parent_subject=metadata.parent_subject,
                    initiator=metadata.initiator,
                    source=metadata.source,
                    lock=held.token if held is not None else None,
                )
            span.set_attribute("version", version)

    async def lock(self, subject: str) -> bool:
        """Try to take the lock on a subject; false when it stays held by another.

        The lock belongs to the context (:mod:`contextvars`) that took it: take and give it back in
        one task, or in tasks that were started from it after it was taken.
        """
        config = self._config.lock_config
        ttl = timedelta(milliseconds=config.ttl_ms)
        wait = config.initial_delay_ms / 1000
        with self._span("lock", subject) as span:
            for attempt in range(1, config.max_retries + 2):
                span.set_attribute("attempts", attempt)
                async with self._lend() as connection:
                    locked = await self._memory(connection).lock_state(subject, ttl, durable=False)
                span.set_attribute("acquired", locked is not None)
                if locked is not None:
                    self._tokens.set({**self._held(), subject: _Held(locked, ttl.total_seconds())})
                    return True
                if attempt <= config.max_retries:
                    await asyncio.sleep(wait)
                    wait *= config.backoff_exponent
        return False

    async def unlock(self, subject: str) -> bool:
        """Give the lock back; always true. Another holder's lock is never touched."""
        every = self._held()
        held = every.pop(subject, None)
        self._tokens.set(every)
        with self._span("unlock", subject) as span:
            if held is not None:
                try:
                    async with self._lend() as connection:
                        await self._memory(connection).release_lock(
                            subject, held.token, durable=False
                        )
                except (psycopg.Error, ArvoError, OSError) as error:
                    span.record_exception(error)  # it lapses by itself
        return True

    async def cleanup(self, subject: str) -> None:
        """Forget a finished workflow, if ``enable_cleanup`` is set."""
        with self._span("cleanup", subject) as span:
            span.set_attribute("skipped", not self._config.enable_cleanup)
            if self._config.enable_cleanup:
                held = self._tokens.get({}).get(subject)
                if held is not None:
                    held.take_state()
                async with self._lend() as connection:
                    await self._memory(connection).cleanup_state(subject)

    async def get_subjects_by_root(self, root: str) -> list[str]:
        """Subjects of all descendants of a root workflow."""
        with self._span("getSubjectsByRoot", root) as span:
            async with self._lend() as connection:
                subjects = await self._memory(connection).subjects_by_root(root)
            span.set_attribute("count", len(subjects))
            return subjects

    async def get_root_subject(self, subject: str) -> str | None:
        """Subject of the root of a workflow's tree; None when the workflow is unknown."""
        with self._span("getRootSubject", subject) as span:
            async with self._lend() as connection:
                root = await self._memory(connection).root_subject(subject)
            span.set_attributes({"found": root is not None, "isRoot": root == subject})
            return root

    async def lineage(self, subject: str) -> list[Kin]:
        """The tree of workflows that a subject belongs to."""
        async with self._lend() as connection:
            return await self._memory(connection).lineage(subject)

    async def validate_table_structure(self) -> None:
        """Check that what is installed fits this package.

        Raises:
            SchemaError: it does not; the message says what to do.
        """
        config = self._config
        await shake_hands(config.dsn(), config.schema_name, config.connect_seconds())

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Lend a connection for one call, which is given up after ``query_timeout_millis``."""
        most = self._config.query_timeout_millis
        async with lend(self._pool) as connection:
            try:
                async with asyncio.timeout(most / 1000):
                    yield connection
            except TimeoutError:
                raise unreachable(TimeoutError(f"no answer within {most} ms")) from None

    def _span(self, operation: str, subject: str) -> AbstractContextManager[Span]:
        return memory_span(operation, subject, enabled=self._config.enable_otel)

    def _held(self) -> dict[str, _Held]:
        return dict(self._tokens.get({}))

    def _memory(self, connection: psycopg.AsyncConnection[object]) -> Memory:
        return Memory(connection, schema=self._config.schema_name)
