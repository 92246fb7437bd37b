"""Wakeup: the connection that listens for notifications. A hint, never the truth: workers poll."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from arvo_plpg.runtime.backoff import Backoff
from arvo_plpg.runtime.connect import connection_parameters

if TYPE_CHECKING:
    from collections.abc import Callable


async def listen(
    dsn: str, schema: str, wake: Callable[[str], None], warn: Callable[..., None]
) -> None:
    """Call ``wake`` with the name of each queue that is notified, until cancelled.

    Reconnects with back-off. Right after each (re)connection ``wake`` is called with an empty
    name, because notifications may have been missed.

    Args:
        dsn: where to listen; a direct connection, not a transaction pooler.
        schema: name of the installation; the channel is called after it.
        wake: called in the event loop.
        warn: called when the connection is lost, as a logger's ``warning``.
    """
    backoff = Backoff()
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                dsn, autocommit=True, **connection_parameters(dsn, f"{schema}-wakeup")
            )
            async with connection:
                channel = sql.Identifier(f"{schema}_wake")
                await connection.execute(sql.SQL("LISTEN {}").format(channel))
                backoff.reset()
                wake("")
                async for notification in connection.notifies():
                    wake(notification.payload)
        except (psycopg.Error, OSError) as error:
            warn("wake-up connection lost (%s); polling goes on", type(error).__name__)
        await asyncio.sleep(backoff.next())
