"""Driver of PGMQ. It has no worker: the loop that reads and deletes is written here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psycopg
from pgmq import AsyncPGMQueue, get_embedded_install_sql

from bench.drive import Driver, Job, main

if TYPE_CHECKING:
    from bench.document import Document

_QUEUE = "bench"
_VISIBILITY = 30


class PgmqDriver(Driver):
    """Producers own one connection each."""

    def __init__(self, dsn: str, settings: dict[str, Any]) -> None:
        super().__init__(dsn, settings)
        self._clients: list[Any] = []
        self._worker: asyncio.Task[None] | None = None

    async def setup(self) -> None:
        def install() -> None:
            with psycopg.connect(self.dsn) as connection:
                connection.execute(get_embedded_install_sql().encode())

        await asyncio.to_thread(install)
        client = await self._client()
        await client.create_queue(_QUEUE)

    async def _client(self) -> Any:  # noqa: ANN401 - a type of the peer
        parts = urlsplit(self.dsn)
        given = {key: values[0] for key, values in parse_qs(parts.query).items()}
        pool = await asyncpg.create_pool(
            user=parts.username,
            database=parts.path[1:],
            host=given["host"],
            port=int(given["port"]),
            min_size=1,
            max_size=1,
        )
        client = AsyncPGMQueue(pool=pool, init_extension=False)
        await client.init()
        return client

    async def open(self, connections: int) -> None:
        while len(self._clients) < connections:
            self._clients.append(await self._client())

    async def send(self, lane: int, given: Document) -> None:
        await self._clients[lane].send(_QUEUE, given)

    async def send_many(self, lane: int, given: list[Document]) -> None:
        await self._clients[lane].send_batch(_QUEUE, given)

    async def work(self, concurrency: int, job: Job) -> None:
        await self.open(1)
        client = await self._client()
        quantity = self.settings["qty"]
        limit = asyncio.Semaphore(concurrency)

        async def handle(message: Any) -> int:  # noqa: ANN401 - a type of the peer
            async with limit:
                emitted = await job.run(message.message)
                if emitted is not None:
                    await self.send(0, emitted)
                return int(message.msg_id)

        async def loop() -> None:
            while True:
                messages = await client.read_with_poll(_QUEUE, vt=_VISIBILITY, qty=quantity)
                if messages and self.settings.get("whole"):
                    job.run_all([message.message for message in messages])
                    await client.delete_batch(_QUEUE, [message.msg_id for message in messages])
                elif messages:
                    done = await asyncio.gather(*map(handle, messages))
                    await client.delete_batch(_QUEUE, done)

        self._worker = asyncio.create_task(loop())

    async def close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()


if __name__ == "__main__":
    main(PgmqDriver)
