"""Worker: ``python -m chaos.worker JSON`` works on the queues of the workload until SIGTERM.

A second signal stops it without waiting for what runs. With ``wait`` it begins when a line comes on
its standard input, so that the start of the interpreter is not part of what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from arvo_plpg import (
    ArvoEvent,
    HandlerOptions,
    MachineMemory,
    MemoryMetadata,
    PostgresEventBroker,
    QueueOptions,
    WorkerOptions,
    create_arvo_event,
    current_delivery,
)
from arvo_plpg.errors import ArvoError, DatabaseUnreachable
from arvo_plpg.runtime.signals import Signals
from chaos.history import Log
from chaos.workload import CLIENT, LIMIT, ORDER, SCARCE, SHIP, trouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_TRY_AGAIN_SECONDS = 0.2
_RESULT = "event %a in %a, attempt %d: %s"


@dataclass(frozen=True)
class Config:
    """What a worker is told.

    Attributes:
        dsn: the database.
        name: what it signs its leases with.
        log: where its history goes.
        lease: seconds of its leases.
        hold: seconds that each handler takes.
        concurrency: of each queue.
        poll: seconds that it sleeps at most.
        grace: seconds that running handlers have at the first signal.
        wait: whether it begins only when a line comes in.
    """

    dsn: str
    name: str
    log: str
    lease: float = 1.0
    hold: float = 0.02
    concurrency: int = 4
    poll: float = 1.0
    grace: float = 5.0
    wait: bool = False


class Told(logging.Handler):
    """Notes what the database said of results: the worker reports that to its logger."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Note one."""
        if not str(record.msg).startswith(_RESULT) or not isinstance(record.args, tuple):
            return
        event, queue, attempt, outcome = record.args[:4]
        self._log.note("told", event=event, queue=queue, attempt=attempt, outcome=outcome)


class Program:
    """The handlers, and what they share.

    Args:
        config: what it was told.
        log: its history.
    """

    def __init__(self, config: Config, log: Log) -> None:
        self.config = config
        self._log = log
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._lock = asyncio.Lock()

    @contextlib.contextmanager
    def run(self, event: ArvoEvent, queue: str) -> Iterator[dict[str, Any]]:
        """Note the beginning of a run and, if it comes to that, its end."""
        delivery = current_delivery()
        if delivery is None:
            raise RuntimeError("no delivery")
        facts: dict[str, Any] = {
            "event": event.id,
            "queue": queue,
            "key": event.subject,
            "lease": delivery.lease,
            "delivery": delivery.number,
            "attempt": delivery.attempt,
        }
        self._log.note("began", **facts)
        yield facts
        self._log.note("ended", **facts)

    def step(self, facts: dict[str, Any], version: int, number: int) -> None:
        """Note a step of a state."""
        self._log.note("stepped", **facts, version=version, number=number)

    async def book(self, event: ArvoEvent) -> None:
        """Have the effect of an event, once however often this is called."""
        async with self._lock:
            try:
                if self._connection is None:
                    self._connection = await psycopg.AsyncConnection.connect(
                        self.config.dsn,
                        autocommit=True,
                        connect_timeout=5,
                        application_name="chaos-business",
                    )
                await self._connection.execute(
                    "SELECT business.book(%s, %s)", [event.id, event.data["amount"]]
                )
            except BaseException:
                connection, self._connection = self._connection, None
                if connection is not None:
                    await connection.close()
                raise

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()


def answer(event: ArvoEvent, source: str, to: str) -> ArvoEvent:
    """Make the event that a handler emits."""
    return create_arvo_event(
        source=source,
        type=f"{source}.done",
        subject=event.subject,
        to=to,
        parentid=event.id,
        data=dict(event.data),
    )


class Order:
    """Makes each event the next step of its subject."""

    source = ORDER
    stateful = True

    def __init__(self, program: Program) -> None:
        self._program = program

    async def execute(
        self, event: ArvoEvent, *, memory: MachineMemory | None = None
    ) -> list[ArvoEvent]:
        """Make one step."""
        if memory is None:
            raise RuntimeError("no memory")
        with self._program.run(event, self.source) as facts:
            state = await memory.read(event.subject)
            await asyncio.sleep(self._program.config.hold)
            number = event.data["number"]
            numbers = [*(state["numbers"] if state else []), number]
            self._program.step(facts, state.version if state else 0, number)
            metadata = MemoryMetadata(event.subject, None, CLIENT, self.source)
            await memory.write(event.subject, {"numbers": numbers}, state, metadata)
            return [answer(event, self.source, SHIP)]


class Booking:
    """Books the amount of each event."""

    def __init__(self, program: Program, source: str) -> None:
        self._program = program
        self.source = source

    async def execute(self, event: ArvoEvent) -> list[ArvoEvent]:
        """Book one."""
        with self._program.run(event, self.source) as facts:
            await asyncio.sleep(self._program.config.hold)
            if self.source == SHIP and (error := trouble(event.data["number"], facts["attempt"])):
                raise error
            await self._program.book(event)
            return [answer(event, self.source, CLIENT)]


async def _until_done(action: Callable[[], Awaitable[object]]) -> None:
    """Do something that needs the database, also when that is away at the moment."""
    while True:
        try:
            await action()
        except (DatabaseUnreachable, psycopg.OperationalError):
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
        else:
            return


async def work(config: Config) -> None:
    """Work until a signal comes."""
    log = Log(Path(config.log), config.name)
    logger = logging.getLogger("arvo_plpg")
    logger.setLevel(logging.INFO)
    logger.addHandler(Told(log))
    program = Program(config, log)
    if config.wait:
        await asyncio.to_thread(sys.stdin.readline)

    with Signals() as signals:
        broker = await _begin(config, program)
        log.note("working")
        await signals.first.wait()
        began = time.monotonic()
        with contextlib.suppress(ArvoError, psycopg.Error):
            await signals.stop(broker.stop, config.grace, logger)
        await program.close()
        log.note("stopped", seconds=time.monotonic() - began)


async def _begin(config: Config, program: Program) -> PostgresEventBroker:
    worker = WorkerOptions(
        concurrency=config.concurrency,
        polling_interval_seconds=config.poll,
        retry_limit=50,
        retry_delay=0.1,
    )
    plain = HandlerOptions(worker=worker, queue=QueueOptions(error_rules={"HopelessError": "dead"}))
    scarce = HandlerOptions(worker=worker, queue=QueueOptions(max_active=LIMIT))
    broker = PostgresEventBroker(
        config.dsn, name=config.name, lease_seconds=config.lease, pool_size=2
    )

    async def listen(event: ArvoEvent) -> None:
        with program.run(event, CLIENT):
            await asyncio.sleep(0)

    await _until_done(broker.start)
    await _until_done(lambda: broker.register(Order(program), HandlerOptions(worker=worker)))
    await _until_done(lambda: broker.register(Booking(program, SHIP), plain))
    await _until_done(lambda: broker.register(Booking(program, SCARCE), scarce))
    await _until_done(
        lambda: broker.on_workflow_complete(
            source=CLIENT, listener=listen, options=HandlerOptions(worker=worker)
        )
    )
    return broker


def main() -> None:
    """Do what the command line says."""
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(message)s")
    asyncio.run(work(Config(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
