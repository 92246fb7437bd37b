"""Source: what the pages show, asked of the database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from math import inf
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg_pool import AsyncConnectionPool

from arvo_plpg._async.broker import Broker
from arvo_plpg.errors import ArvoError, ForeignCluster, SchemaError
from arvo_plpg.page.history import History
from arvo_plpg.runtime.connect import connection_parameters, with_settings
from arvo_plpg.runtime.ending import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from arvo_plpg.page.options import PageOptions
    from arvo_plpg.rows import QueueStats

SAMPLE_SECONDS = 2.0
FRESH_SECONDS: Final = 1.0
RESTS_PER_CALL: Final = 9
"""How many times as long as a call took the next one waits: of thousands of queues it takes long,
and a page that somebody has left open shall not keep a server busy."""
STATEMENT_MILLISECONDS: Final = 15_000
SILENT: Final = "the database does not answer"


class Source:
    """A few connections, and a sample of all queues now and then.

    Without actions its connections are read-only, whatever the role behind them may do.
    """

    def __init__(self, options: PageOptions) -> None:
        self._options = options
        self._asking: asyncio.Task[list[QueueStats]] | None = None
        self._stats: list[QueueStats] = []
        self._fresh_until = -inf
        self.history = History()
        self.trouble: str | None = SILENT
        """Why there are no figures, with the remedy; None when there are."""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect when needed, and sample, until the end of the block."""
        options = self._options
        given = connection_parameters(options.dsn, f"{options.schema}-page", 5)
        read_only = "off" if options.allow_actions else "on"
        given["options"] = with_settings(
            options.dsn,
            {
                "statement_timeout": str(STATEMENT_MILLISECONDS),
                "default_transaction_read_only": read_only,
            },
        )
        self._pool = AsyncConnectionPool(
            options.dsn,
            kwargs=given | {"autocommit": True},
            min_size=1,
            max_size=options.pool_size,
            timeout=5.0,
            open=False,
            check=AsyncConnectionPool.check_connection,
        )
        await self._pool.open()
        sampling = asyncio.create_task(self._sample(), name="arvo-page-samples")
        try:
            yield
        finally:
            await end(sampling)
            if self._asking is not None:
                await end(self._asking)
            await self._pool.close()

    @contextlib.asynccontextmanager
    async def contract(self) -> AsyncIterator[Broker]:
        """Lend a connection, as the contract."""
        async with self._pool.connection() as connection:
            yield Broker(connection, schema=self._options.schema)

    async def stats(self) -> Sequence[QueueStats]:
        """Give the figures of all queues, at most a second old, or ten times what asking takes.

        All who wait for them wait for one call, and get what has become of it.
        """
        if time.monotonic() < self._fresh_until:
            return self._stats
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="arvo-page-stats")
        return await asyncio.shield(self._asking)

    async def _ask(self) -> list[QueueStats]:
        async with self.contract() as contract:
            began = time.monotonic()
            self._stats = await contract.queue_stats()
        ended = time.monotonic()
        self._fresh_until = ended + max(FRESH_SECONDS, RESTS_PER_CALL * (ended - began))
        return self._stats

    async def _sample(self) -> None:
        while True:
            try:
                self.history.add(time.time(), await self.stats())
                self.trouble = None
            except (SchemaError, ForeignCluster) as error:
                self.trouble = str(error)
            except (ArvoError, psycopg.Error, OSError):
                self.trouble = SILENT
            left = self._fresh_until - time.monotonic()
            await asyncio.sleep(max(self._options.sample_seconds, left))
