"""Source: what the pages show, asked of the database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg_pool import AsyncConnectionPool

from arvo_plpg._async.broker import Broker
from arvo_plpg.page.history import History
from arvo_plpg.runtime.connect import connection_parameters, with_settings
from arvo_plpg.runtime.ending import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from arvo_plpg.page.options import PageOptions
    from arvo_plpg.rows import QueueStats

FRESH_SECONDS: Final = 1.0
STATEMENT_MILLISECONDS: Final = 15_000


class Source:
    """A few connections, and a sample of all queues now and then.

    Without actions its connections are read-only, whatever the role behind them may do.
    """

    def __init__(self, options: PageOptions) -> None:
        self._options = options
        self._asking = asyncio.Lock()
        self._stats: list[QueueStats] = []
        self._asked_at = -FRESH_SECONDS
        self.history = History()
        self.up = False

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
            await self._pool.close()

    @contextlib.asynccontextmanager
    async def contract(self) -> AsyncIterator[Broker]:
        """Lend a connection, as the contract."""
        async with self._pool.connection() as connection:
            yield Broker(connection, schema=self._options.schema)

    async def stats(self) -> Sequence[QueueStats]:
        """Give the figures of all queues, at most a second old."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= FRESH_SECONDS:
                async with self.contract() as contract:
                    self._stats = await contract.queue_stats()
                self._asked_at = time.monotonic()
            return self._stats

    async def _sample(self) -> None:
        while True:
            try:
                self.history.add(time.time(), await self.stats())
                self.up = True
            except (psycopg.Error, OSError):
                self.up = False
            await asyncio.sleep(self._options.sample_seconds)
