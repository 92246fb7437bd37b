"""Connect: pools and the first hand-shake, with errors that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from arvo_plpg.errors import DatabaseUnreachable
from arvo_plpg.schema import about_query, judge, offer
from arvo_plpg.schema.handshake import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping

Pool = AsyncConnectionPool[psycopg.AsyncConnection[Any]]


async def shake_hands(dsn: str, schema: str) -> None:
    """Check that the database answers, and that it and this package fit.

    Raises:
        DatabaseUnreachable: no answer.
        SchemaMissing: nothing is installed under this name.
        SchemaTooOld: what is installed is older than this package needs.
        ClientTooOld: this package is older than what is installed allows.
    """
    row = None
    try:
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=10) as connection:
            try:
                cursor = await connection.execute(about_query(schema))
                row = await cursor.fetchone()
            except ABSENT:
                row = None
    except psycopg.OperationalError as error:
        raise unreachable(error) from None
    judge(row, offer())


def unreachable(error: BaseException) -> DatabaseUnreachable:
    """Make the error of a database that does not answer; no word of the connection string."""
    return DatabaseUnreachable(
        "the database does not answer",
        detail=type(error).__name__,
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
        options: more connection parameters of libpq.

    Raises:
        DatabaseUnreachable: no connection within ``wait_seconds``.
    """
    pool: Pool = AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=most,
        timeout=wait_seconds,
        max_idle=idle_seconds,
        kwargs={"autocommit": True, "application_name": schema, **(options or {})},
        check=AsyncConnectionPool.check_connection,
        open=False,
    )
    try:
        await pool.open(wait=True, timeout=wait_seconds)
    except PoolTimeout as error:
        await pool.close()
        raise unreachable(error) from None
    return pool
