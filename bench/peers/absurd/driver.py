"""Driver of Absurd."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absurd_sdk import AsyncAbsurd

from bench.drive import Driver, Job, main

if TYPE_CHECKING:
    from bench.document import Document

_QUEUE = "bench"


class AbsurdDriver(Driver):
    """Producers own one connection each."""

    def __init__(self, dsn: str, settings: dict[str, Any]) -> None:
        super().__init__(dsn, settings)
        self._clients: list[Any] = []
        self._app: Any = None
        self._worker: asyncio.Task[None] | None = None

    async def setup(self) -> None:
        control = str(Path(sys.executable).with_name("absurdctl"))
        for words in (["init", "-d", self.dsn], ["create-queue", "-d", self.dsn, _QUEUE]):
            program = await asyncio.create_subprocess_exec(
                control, *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
            )
            if await program.wait() != 0:
                raise RuntimeError(f"absurdctl {words[0]} failed")

    async def open(self, connections: int) -> None:
        while len(self._clients) < connections:
            client = AsyncAbsurd(self.dsn, queue_name=_QUEUE)
            client.register_task(name="work")(_nothing)
            self._clients.append(client)

    async def send(self, lane: int, given: Document) -> None:
        await self._clients[lane].spawn("work", given)

    async def send_many(self, lane: int, given: list[Document]) -> None:
        for item in given:
            await self.send(lane, item)

    async def work(self, concurrency: int, job: Job) -> None:
        await self.open(1)
        self._app = AsyncAbsurd(self.dsn, queue_name=_QUEUE)

        @self._app.register_task(name="work")
        async def work(given: Document, _context: object) -> None:
            emitted = await job.run(given)
            if emitted is not None:
                await self.send(0, emitted)

        more = {
            key: self.settings[key]
            for key in ("batch_size", "poll_interval")
            if key in self.settings
        }
        self._worker = asyncio.create_task(self._app.start_worker(concurrency=concurrency, **more))
        await asyncio.sleep(0.3)  # it does not tell when it is connected

    async def close(self) -> None:
        if self._worker is not None:
            self._app.stop_worker()
            await asyncio.wait([self._worker], timeout=10)


async def _nothing(_given: Document, _context: object) -> None:
    """A producer has to register what it spawns."""


if __name__ == "__main__":
    main(AbsurdDriver)
