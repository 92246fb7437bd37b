"""Driver of Awa."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import awa

from bench.drive import Driver, Job, main

if TYPE_CHECKING:
    from bench.document import Document

_QUEUE = "bench"


@dataclass
class Work:
    """Arguments of a job."""

    given: dict[str, Any]


class AwaDriver(Driver):
    """One client, with as many connections as a run asks for."""

    def __init__(self, dsn: str, settings: dict[str, Any]) -> None:
        super().__init__(_with_host(dsn), settings)
        self._client: Any = None
        self._works = False

    async def setup(self) -> None:
        client = awa.AsyncClient(self.dsn)
        await client.migrate()
        if self.settings.get("copy"):
            await client.install_queue_storage()
        await client.close()

    async def open(self, connections: int) -> None:
        if not self._works:
            self._client = awa.AsyncClient(self.dsn, max_connections=connections)

    async def send(self, lane: int, given: Document) -> None:
        await self._client.insert(Work(given), queue=_QUEUE)

    async def send_many(self, lane: int, given: list[Document]) -> None:
        jobs = [Work(item) for item in given]
        if self.settings.get("copy"):
            await self._client.enqueue_many_copy(jobs, queue=_QUEUE)
        else:
            await self._client.insert_many_copy(jobs, queue=_QUEUE)

    async def work(self, concurrency: int, job: Job) -> None:
        self._client = awa.AsyncClient(self.dsn, max_connections=20)
        self._works = True

        @self._client.task(Work, queue=_QUEUE)
        async def work(claimed: Any) -> None:  # noqa: ANN401 - a type of the peer
            emitted = await job.run(claimed.args.given)
            if emitted is not None:
                await self._client.insert(Work(emitted), queue=_QUEUE)

        if "workers" in self.settings:
            queue = {
                "name": _QUEUE,
                "max_workers": self.settings["workers"],
                "claimers": self.settings["claimers"],
                "claim_batch_size": self.settings["claim_batch_size"],
            }
            await self._client.start([queue])
        else:
            await self._client.start([(_QUEUE, concurrency)])

    async def close(self) -> None:
        if self._works:
            await self._client.shutdown()
        if self._client is not None:
            await self._client.close()


def _with_host(dsn: str) -> str:
    """Its library wants the socket's directory where a host stands."""
    parts = urlsplit(dsn)
    given = {key: values[0] for key, values in parse_qs(parts.query).items()}
    host = quote(given["host"], safe="")
    return f"postgresql://{parts.username}@{host}:{given['port']}{parts.path}"


if __name__ == "__main__":
    main(AwaDriver)
