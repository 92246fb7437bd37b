"""Brokers on the test's own database, handlers that write down what they saw, and patience."""

import asyncio
import logging
import time

import psycopg
import pytest

from arvo_plpg import HandlerOptions, PostgresEventBroker, WorkerOptions, create_arvo_event

CLIENT = "com.example.client"


@pytest.fixture(scope="session")
def until():
    """Wait in the event loop for a condition, plain or asynchronous, with a deadline."""

    async def wait(condition, seconds=20.0):
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            assert time.monotonic() < deadline, f"waited {seconds} s in vain"
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def broker_on(dsn):
    """Start a broker: await broker_on(**arguments). All are stopped at the end of the test."""
    started = []

    async def start(place=dsn, **arguments):
        broker = PostgresEventBroker(place, **{"pool_size": 2} | arguments)
        await broker.start()
        started.append(broker)
        return broker

    yield start
    for broker in started:
        await broker.stop(timeout=0.2)


@pytest.fixture
async def broker(broker_on):
    """One started broker."""
    return await broker_on()


@pytest.fixture(scope="session")
def event():
    """Make an event: event(to, number=…, **attributes)."""

    def make(to="com.example.task", **more):
        data = more.pop("data", {"number": more.pop("number", 0)})
        given = {"source": CLIENT, "type": "com.example.task.done", "subject": "task"} | more
        return create_arvo_event(to=to, data=data, **given)

    return make


class Recorder:
    """A handler that writes down what it saw, and does with it what it is told to."""

    def __init__(self, source="com.example.task", action=None):
        self.source = source
        self.seen = []
        self._action = action

    async def execute(self, event):
        self.seen.append(event)
        return await self._action(event) if self._action else []


class StatefulRecorder(Recorder):
    stateful = True

    async def execute(self, event, *, memory=None):
        self.seen.append(event)
        return await self._action(event, memory)


@pytest.fixture(scope="session")
def recorder():
    return Recorder


@pytest.fixture(scope="session")
def stateful_recorder():
    return StatefulRecorder


@pytest.fixture(scope="session")
def worker_options():
    """Give registration options by the names of WorkerOptions."""

    def make(**options):
        return HandlerOptions(worker=WorkerOptions(**options))

    return make


@pytest.fixture
def ask(dsn):
    """Ask the test's database something, past the package: ask(query, *arguments) gives rows."""
    with psycopg.connect(dsn, autocommit=True) as connection:

        def run(query, *arguments):
            return connection.execute(query, arguments).fetchall()

        yield run


@pytest.fixture
def story(ask):
    """What became of the deliveries of an event: [(queue, attempt, outcome), …]."""

    def tell(event):
        return [
            tuple(row)
            for row in ask(
                "SELECT queue, attempt, outcome FROM arvo_v1.trace(p_event_id => %s)"
                " WHERE event_id = %s",
                event.id,
                event.id,
            )
        ]

    return tell


@pytest.fixture
def log(caplog):
    """The package's log as text."""
    caplog.set_level(logging.INFO, logger="arvo_plpg")
    return caplog
