"""Driver of Procrastinate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import procrastinate

from bench.drive import Driver, Job, main

if TYPE_CHECKING:
    from bench.document import Document


class ProcrastinateDriver(Driver):
    """One app; the pool is as large as the connections that a run asks for."""

    def __init__(self, dsn: str, settings: dict[str, Any]) -> None:
        super().__init__(dsn, settings)
        self._app: Any = None
        self._task: Any = None
        self._job: Job | None = None
        self._worker: asyncio.Task[None] | None = None

    async def setup(self) -> None:
        await self._open(2)
        await self._app.schema_manager.apply_schema_async()

    async def open(self, connections: int) -> None:
        await self._open(connections)

    async def _open(self, pool: int) -> None:
        if self._app is not None:
            await self._app.close_async()
        connector = procrastinate.PsycopgConnector(conninfo=self.dsn, min_size=1, max_size=pool)
        self._app = procrastinate.App(connector=connector)

        @self._app.task(name="work")
        async def work(given: Document) -> None:
            assert self._job is not None  # noqa: S101  set before the worker starts
            emitted = await self._job.run(given)
            if emitted is not None:
                await self._task.defer_async(given=emitted)

        self._task = work
        await self._app.open_async()

    async def send(self, lane: int, given: Document) -> None:
        await self._task.defer_async(given=given)

    async def send_many(self, lane: int, given: list[Document]) -> None:
        await self._task.batch_defer_async(*({"given": item} for item in given))

    async def work(self, concurrency: int, job: Job) -> None:
        await self._open(self.settings.get("pool", 10))
        self._job = job
        more = {key: self.settings[key] for key in ("delete_jobs",) if key in self.settings}
        self._worker = asyncio.create_task(
            self._app.run_worker_async(
                concurrency=concurrency, install_signal_handlers=False, **more
            )
        )
        await asyncio.sleep(0.5)  # it does not tell when it listens

    async def close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        if self._app is not None:
            await self._app.close_async()


if __name__ == "__main__":
    main(ProcrastinateDriver)
