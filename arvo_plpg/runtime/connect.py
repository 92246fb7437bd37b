"""Connect: pools and the first hand-shake, with errors that say what to do."""

from __future__ import annotations

import select
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from arvo_plpg.errors import ArvoError, DatabaseUnreachable, InvalidOption, translate
from arvo_plpg.schema.handshake import ABSENT, about_query, judge, offer
from arvo_plpg.schema.target import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

Pool = AsyncConnectionPool[psycopg.AsyncConnection[Any]]


_TRUSTED_SECONDS = 5.0
_CHECKED: WeakKeyDictionary[psycopg.AsyncConnection[Any], float] = WeakKeyDictionary()

# A silent peer is given up after some ten seconds, not after the kernel's quarter of an hour.
_PATIENCE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def with_settings(dsn: str, settings: Mapping[str, str]) -> str:
    """Give libpq's ``options`` of a connection string, with settings of ours behind its own.

    Args:
        dsn: the connection string, which can be read.
        settings: names and values, of letters, digits and underscores.
    """
    given = conninfo_to_dict(dsn).get("options") or ""
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return f"{given} {ours}".strip()


def connection_parameters(
    dsn: str, application: str, connect_seconds: int = 10, **more: str | int | None
) -> dict[str, Any]:
    """Give the parameters of a connection that the connection string does not set itself.

    Args:
        dsn: the connection string.
        application: the connection's name in ``pg_stat_activity``.
        connect_seconds: how long to wait for the server.
        more: further parameters, of libpq or psycopg.

    Raises:
        InvalidOption: the connection string cannot be read; no word of it is repeated.
    """
    given = None
    # Raised outside of it: libpq's error repeats the string, and would be this one's context.
    with suppress(psycopg.ProgrammingError):
        given = conninfo_to_dict(dsn)
    if given is None:
        raise InvalidOption(
            "the connection string cannot be read",
            hint="Write postgresql://user:password@host:port/database, or libpq's key=value.",
            field="dsn",
        )
    ours = _PATIENCE | {
        "application_name": application,
        "connect_timeout": connect_seconds,
        **more,
    }
    return {name: value for name, value in ours.items() if name not in given}


def is_lost(error: BaseException) -> bool:
    """Tell whether an error is of the connection or the server, so that another try may succeed."""
    if isinstance(error, ArvoError):
        return isinstance(error, DatabaseUnreachable)
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | OSError):
        return False
    # 54: a limit of the program, such as the size of a value, which would be exceeded again.
    # 55: an object that somebody else has in hand.
    return not (getattr(error, "sqlstate", None) or "").startswith(("54", "55"))


async def shake_hands(dsn: str, schema: str, connect_seconds: int = 10) -> None:
    """Check that the database answers, and that it and this package fit.

    Args:
        dsn: the database.
        schema: name of the installation.
        connect_seconds: how long to wait for the server.

    Raises:
        DatabaseUnreachable: no answer.
        SchemaMissing: nothing is installed under this name.
        SchemaTooOld: what is installed is older than this package needs.
        ClientTooOld: this package is older than what is installed allows.
        PrivilegeMissing: the user may not ask.
        InvalidOption: the connection string cannot be read.
    """
    row = None
    parameters = connection_parameters(dsn, schema, connect_seconds)
    try:
        async with await psycopg.AsyncConnection.connect(dsn, **parameters) as connection:
            try:
                cursor = await connection.execute(about_query(schema))
                row = await cursor.fetchone()
            except ABSENT:
                row = None
    except psycopg.OperationalError as error:
        raise unreachable(error, dsn) from None
    except psycopg.Error as error:
        raise translate(error) from error
    judge(row, offer())


def unreachable(error: BaseException, dsn: str = "") -> DatabaseUnreachable:
    """Make the error of a database that does not answer; the reason, but never the password."""
    reason = Target(dsn).scrub(str(error)).strip() or type(error).__name__
    return DatabaseUnreachable(
        "the database does not answer",
        detail=reason,
        hint="Check host, port, database, user and password of the connection string, and that "
        "the server runs.",
    )


async def open_pool(
    dsn: str,
    schema: str,
    most: int,
    *,
    wait_seconds: float = 10.0,
    idle_seconds: float = 600.0,
    options: Mapping[str, Any] | None = None,
) -> Pool:
    """Open a pool of connections in autocommit; a broken one is replaced before it is lent.

    Args:
        dsn: the database.
        schema: name of the installation, for the connections' application name.
        most: most connections.
        wait_seconds: how long to wait for a free connection.
        idle_seconds: how long an unused connection is kept.
        options: more parameters of the connections, of libpq or psycopg.

    Raises:
        DatabaseUnreachable: no connection within ``wait_seconds``.
    """
    pool: Pool = AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=most,
        timeout=wait_seconds,
        max_idle=idle_seconds,
        kwargs={"autocommit": True, **connection_parameters(dsn, schema), **(options or {})},
        check=_check,
        open=False,
    )
    try:
        await pool.open(wait=True, timeout=wait_seconds)
    except PoolTimeout as error:
        await pool.close()
        raise unreachable(error, dsn) from None
    return pool


async def _check(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raise if a connection is broken; ask the server only if the socket does not tell.

    A server that goes away, or ends a session, says so: then there is something to read.
    """
    now = time.monotonic()
    before, _CHECKED[connection] = _CHECKED.get(connection, 0.0), now
    if now - before < _TRUSTED_SECONDS and not _is_readable(connection.fileno()):
        return
    await AsyncConnectionPool.check_connection(connection)


def _is_readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return True  # cannot be told here without a limit on the number
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


@asynccontextmanager
async def lend(pool: Pool) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Lend a connection of a pool.

    Raises:
        DatabaseUnreachable: none became free in time.
    """
    try:
        connection = await pool.getconn()
    except PoolTimeout as error:
        raise unreachable(error) from None
    try:
        yield connection
    finally:
        await pool.putconn(connection)
