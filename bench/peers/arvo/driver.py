"""Driver of ours: PostgresEventBroker and the contract's Broker, nothing below them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import psycopg

import arvo_plpg as arvo
from arvo_plpg._async.broker import Broker
from arvo_plpg.schema import migrate
from bench.document import ORDERED, QUEUE, Document, document, mixed
from bench.drive import Driver, Job, main

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal


_RETRY_SECONDS = 0.2


class _Worker:
    """A handler of plain events."""

    def __init__(self, job: Job, source: str = QUEUE) -> None:
        self._job = job
        self.source = source

    async def execute(self, event: arvo.ArvoEvent) -> list[arvo.ArvoEvent]:
        emitted = await self._job.run({"subject": event.subject, "data": event.data})
        return [arvo.ArvoEvent.from_dict(emitted)] if emitted is not None else []


class _Batch:
    """A handler of lists."""

    source = QUEUE

    def __init__(self, job: Job) -> None:
        self._job = job

    async def execute_many(self, events: Sequence[arvo.ArvoEvent]) -> list[list[arvo.ArvoEvent]]:
        self._job.run_all([{"data": event.data} for event in events])
        return [[] for _ in events]


class _Step:
    """A handler of workflows: read the state, write the next one, emit the next event."""

    source = QUEUE

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def stateful(self) -> Literal[True]:
        return True

    async def execute(
        self, event: arvo.ArvoEvent, *, memory: arvo.MachineMemory | None = None
    ) -> list[arvo.ArvoEvent]:
        assert memory is not None  # noqa: S101  a worker gives one to every stateful handler
        known = await memory.read(event.subject)
        steps = 0 if known is None else known["steps"]
        metadata = arvo.MemoryMetadata(event.subject, None, None, self.source)
        await memory.write(event.subject, {"steps": steps + 1}, known, metadata)
        emitted = await self._job.run({"subject": event.subject, "data": event.data})
        return [arvo.ArvoEvent.from_dict(emitted)] if emitted is not None else []


class ArvoDriver(Driver):
    """Producers own one connection each; workers are the broker's."""

    def __init__(self, dsn: str, settings: dict[str, Any]) -> None:
        super().__init__(dsn, settings)
        self._connections: list[psycopg.AsyncConnection[Any]] = []
        self._broker: arvo.PostgresEventBroker | None = None
        self._memory: arvo.PostgresMachineMemory | None = None

    async def setup(self) -> None:
        await asyncio.to_thread(migrate, self.dsn)
        connection = await psycopg.AsyncConnection.connect(self.dsn, autocommit=True)
        async with connection:
            await Broker(connection).register_queue(QUEUE)
            await Broker(connection).register_queue(ORDERED, policy="ordered")

    async def open(self, connections: int) -> None:
        while len(self._connections) < connections:
            connection = await psycopg.AsyncConnection.connect(self.dsn, autocommit=True)
            self._connections.append(connection)

    async def send(self, lane: int, given: Document) -> None:
        await Broker(self._connections[lane]).dispatch(arvo.ArvoEvent.from_dict(given))

    async def send_many(self, lane: int, given: list[Document]) -> None:
        if self.settings.get("mix"):
            given = [mixed(item) for item in given]
        events = (arvo.ArvoEvent.from_dict(item) for item in given)
        if self.settings.get("copy"):
            copy: Any = getattr(Broker(self._connections[lane]), "dispatch_copy", None)
            if copy is None:
                raise NotImplementedError("dispatch_copy is not in this version")
            await copy(events)  # a stream: while the server works on a batch, the next is made
            return
        await Broker(self._connections[lane]).dispatch_many(list(events))

    async def work(self, concurrency: int, job: Job) -> None:
        wide = self.settings.get("concurrency", concurrency)
        handler: Any = _Step(job) if self.settings.get("stateful") else _Worker(job)
        if self.settings.get("batch"):
            if not hasattr(arvo, "BatchHandler"):
                raise NotImplementedError("handlers of lists are not in this version")
            handler = _Batch(job)
        mix = self.settings.get("mix")
        retry_delay = _RETRY_SECONDS if mix else None
        options = arvo.HandlerOptions(
            worker=arvo.WorkerOptions(concurrency=wide, retry_delay=retry_delay)
        )
        self._broker = arvo.PostgresEventBroker(self.dsn)
        await self._broker.start()
        await self._broker.register(handler, options)
        if mix:
            ordered = options.model_copy(update={"queue": arvo.QueueOptions(policy="ordered")})
            await self._broker.register(_Worker(job, ORDERED), ordered)

    async def close(self) -> None:
        if self._broker is not None:
            await self._broker.stop()
        if self._memory is not None:
            await self._memory.close()
        for connection in self._connections:
            await connection.close()

    async def other(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "memory":
            return await self._cycles(command["connections"], command["seconds"])
        return await super().other(command)

    async def _cycles(self, connections: int, seconds: float) -> dict[str, Any]:
        """Lock, read, write and unlock subjects, as handlers outside a worker do."""
        config = arvo.MemoryConfig(connection_string=self.dsn, max=connections)
        self._memory = memory = await arvo.connect_postgres_machine_memory(config=config)
        data = document(0)["data"]
        began = time.monotonic()
        done = 0

        async def cycle(lane: int) -> None:
            nonlocal done
            turn = 0
            while time.monotonic() - began < seconds:
                subject = f"bench-memory-{lane}-{turn % 100}"
                metadata = arvo.MemoryMetadata(subject, None, None, QUEUE)
                await memory.lock(subject)
                known = await memory.read(subject)
                await memory.write(subject, {**data, "turn": turn}, known, metadata)
                await memory.unlock(subject)
                turn += 1
                done += 1

        await asyncio.gather(*(asyncio.create_task(cycle(lane)) for lane in range(connections)))
        return {"count": done, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    main(ArvoDriver)
