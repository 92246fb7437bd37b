"""Driver of PgQueuer, over asyncpg."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from bench.drive import Driver, Job, main

if TYPE_CHECKING:
    from bench.document import Document


class PgQueuerDriver(Driver):
    """Producers own one connection each."""

    def __init__(self, dsn: str, settings: dict[str, Any]) -> None:
        super().__init__(dsn, settings)
        self._queries: list[Any] = []
        self._manager: Any = None
        self._worker: asyncio.Task[None] | None = None

    async def setup(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    async def open(self, connections: int) -> None:
        while len(self._queries) < connections:
            connection = await asyncpg.connect(self.dsn)
            self._queries.append(Queries(AsyncpgDriver(connection)))

    async def send(self, lane: int, given: Document) -> None:
        await self._queries[lane].enqueue("work", json.dumps(given).encode())

    async def send_many(self, lane: int, given: list[Document]) -> None:
        payloads = [json.dumps(item).encode() for item in given]
        await self._queries[lane].enqueue(["work"] * len(given), payloads, [0] * len(given))

    async def work(self, concurrency: int, job: Job) -> None:
        await self.open(1)
        connection = await asyncpg.connect(self.dsn)
        self._manager = PgQueuer.from_asyncpg_connection(connection)

        @self._manager.entrypoint("work")
        async def work(claimed: Any) -> None:  # noqa: ANN401 - a type of the peer
            emitted = await job.run(json.loads(claimed.payload))
            if emitted is not None:
                await self.send(0, emitted)

        batch = self.settings.get("batch_size", concurrency)
        self._worker = asyncio.create_task(self._manager.run(batch_size=batch))
        await asyncio.sleep(0.5)  # it does not tell when it listens

    async def close(self) -> None:
        if self._worker is not None:
            self._manager.shutdown.set()
            await asyncio.wait([self._worker], timeout=10)


if __name__ == "__main__":
    main(PgQueuerDriver)
