"""Driver of the floor: one table, SKIP LOCKED, LISTEN."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import Jsonb

from bench.document import document
from bench.drive import Driver, Job, main

if TYPE_CHECKING:
    from bench.document import Document

_TABLE = """
CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    leased_until timestamptz,
    payload jsonb NOT NULL
);
CREATE INDEX job_ready_idx ON job (id) WHERE leased_until IS NULL;
CREATE TABLE state (subject text PRIMARY KEY, version bigint NOT NULL, data jsonb NOT NULL);
CREATE TABLE state_lock (subject text PRIMARY KEY, expires_at timestamptz NOT NULL);
"""
_ADD = "INSERT INTO job (payload) SELECT unnest(%s::jsonb[])"
_NOTIFY = "SELECT pg_notify('job', '')"
_LEASE = """
WITH next AS MATERIALIZED (
    SELECT id FROM job WHERE leased_until IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE job SET leased_until = now() + interval '30 seconds' FROM next WHERE job.id = next.id
RETURNING job.id, job.payload
"""
_DELETE = "DELETE FROM job WHERE id = ANY (%s)"
_LOCK = """
INSERT INTO state_lock AS held (subject, expires_at) VALUES (%s, now() + interval '2 minutes')
ON CONFLICT (subject) DO UPDATE SET expires_at = EXCLUDED.expires_at WHERE held.expires_at < now()
"""
_READ = "SELECT version, data FROM state WHERE subject = %s"
_WRITE = """
INSERT INTO state AS stored (subject, version, data) VALUES (%s, 1, %s)
ON CONFLICT (subject) DO UPDATE SET version = stored.version + 1, data = EXCLUDED.data
WHERE stored.version = %s
"""
_UNLOCK = "DELETE FROM state_lock WHERE subject = %s"
_POLL_SECONDS = 1.0


class RawDriver(Driver):
    """Producers own one connection each."""

    def __init__(self, dsn: str, settings: dict[str, Any]) -> None:
        super().__init__(dsn, settings)
        self._connections: list[psycopg.AsyncConnection[Any]] = []
        self._one_at_a_time: list[asyncio.Lock] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def setup(self) -> None:
        async with await self._connect() as connection:
            await connection.execute(_TABLE)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(self.dsn, autocommit=True)

    async def open(self, connections: int) -> None:
        while len(self._connections) < connections:
            self._connections.append(await self._connect())
            self._one_at_a_time.append(asyncio.Lock())

    async def send(self, lane: int, given: Document) -> None:
        await self.send_many(lane, [given])

    async def send_many(self, lane: int, given: list[Document]) -> None:
        connection = self._connections[lane]
        async with (
            self._one_at_a_time[lane],
            connection.pipeline(),
            connection.transaction(),
        ):
            await connection.execute(_ADD, ([Jsonb(item) for item in given],))
            await connection.execute(_NOTIFY)

    async def work(self, concurrency: int, job: Job) -> None:
        await self.open(1)
        woken = asyncio.Event()
        limit = asyncio.Semaphore(concurrency)
        listener, claimer = await self._connect(), await self._connect()
        await listener.execute("LISTEN job")

        async def listen() -> None:
            async for _ in listener.notifies():
                woken.set()

        async def handle(given: Document) -> None:
            async with limit:
                emitted = await job.run(given)
                if emitted is not None:
                    await self.send(0, emitted)

        async def loop() -> None:
            while True:
                woken.clear()
                cursor = await claimer.execute(_LEASE, (self.settings["limit"],))
                rows = await cursor.fetchall()
                if not rows:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(woken.wait(), _POLL_SECONDS)
                    continue
                if self.settings.get("whole"):
                    job.run_all([payload for _, payload in rows])
                else:
                    await asyncio.gather(*(handle(payload) for _, payload in rows))
                await claimer.execute(_DELETE, ([number for number, _ in rows],))

        self._tasks = [asyncio.create_task(listen()), asyncio.create_task(loop())]

    async def other(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "memory":
            return await self._cycles(command["connections"], command["seconds"])
        return await super().other(command)

    async def _cycles(self, connections: int, seconds: float) -> dict[str, Any]:
        """Lock, read, write and unlock subjects, in a transaction each."""
        await self.open(connections)
        data = document(0)["data"]
        began = time.monotonic()
        done = 0

        async def cycle(lane: int) -> None:
            nonlocal done
            connection = self._connections[lane]
            turn = 0
            while time.monotonic() - began < seconds:
                subject = f"bench-memory-{lane}-{turn % 100}"
                await connection.execute(_LOCK, (subject,))
                known = await (await connection.execute(_READ, (subject,))).fetchone()
                version = known[0] if known else 0
                written = Jsonb({**data, "turn": turn})
                await connection.execute(_WRITE, (subject, written, version))
                await connection.execute(_UNLOCK, (subject,))
                turn += 1
                done += 1

        await asyncio.gather(*(cycle(lane) for lane in range(connections)))
        return {"count": done, "seconds": time.monotonic() - began}

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()


if __name__ == "__main__":
    main(RawDriver)
