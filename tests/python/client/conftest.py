"""Brokers on the test's own database, handlers that write down what they saw, and patience.

With ARVO_TEST_POOLER=VERSION, or VERSION/unprepared, brokers and memories reach the database
through PgBouncer of that version, in transaction mode: see tools/matrix.py.
"""

import asyncio
import logging
import os
import time

import pgbouncer
import psycopg
import pytest

from arvo_plpg import HandlerOptions, PostgresEventBroker, WorkerOptions, create_arvo_event

CLIENT = "com.example.client"
UNPREPARED = os.environ.get("ARVO_TEST_POOLER", "").endswith("/unprepared")


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


@pytest.fixture(scope="session")
def pooler(server):
    """The PgBouncer that was asked for; None: connections are direct."""
    version, _, _ = os.environ.get("ARVO_TEST_POOLER", "").partition("/")
    if not version:
        yield None
    else:
        zero = UNPREPARED and version != "1.18"  # which does not know the setting
        more = "max_prepared_statements = 0" if zero else ""
        with pgbouncer.start(version, server.dsn, more) as running:
            yield running


@pytest.fixture
def road(dsn, pooler):
    """Connection string for packages, and what goes with it."""
    if pooler is None:
        return dsn, {}
    return pooler.dsn(dsn), {"prepare_threshold": None} if UNPREPARED else {}


@pytest.fixture
async def broker_on(dsn, road):
    """Start a broker: await broker_on(**arguments). All are stopped at the end of the test."""
    started = []

    async def start(place=None, **arguments):
        if place is None:
            place, options = road
            arguments = ({"listen_dsn": dsn} if place != dsn else {}) | options | arguments
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
