"""Handlers that end in unusual ways, and what must not come of it: a delivery nobody works on."""

import asyncio
import time

import pytest

from arvo_plpg.runtime.station import FAILING, FAILING_PAUSE_SECONDS

TASK = "com.example.task"
CLIENT = "com.example.client"


class MuteError(ValueError):
    """An exception that cannot say what it is."""

    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


class Bare(BaseException):
    """What a library may raise that does not want to be caught."""


def idle(ask):
    return ask(
        "SELECT count(*) FROM arvo_v1.queue_stats()"
        " WHERE queued_count + active_count + deferred_count > 0"
    ) == [(0,)]


async def raise_it(broker, recorder, worker_options, make, waits):
    async def fail(asked):
        if waits:
            await asyncio.sleep(0)
        if asked.data["number"] == 0:
            raise make
        return []

    await broker.register(recorder(TASK, fail), worker_options(concurrency=2, retry_limit=0))


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("make", "name"), [(MuteError, "MuteError"), (Bare, "Bare"), (GeneratorExit, "GeneratorExit")]
)
async def test_whatever_a_handler_raises_is_a_failure(
    broker, event, recorder, until, ask, worker_options, make, name, waits
):
    await raise_it(broker, recorder, worker_options, make, waits)
    await broker.dispatch_many([event(TASK, number=n) for n in range(5)])
    await until(lambda: idle(ask))
    async with broker.connection() as contract:
        (letter,) = await contract.dead_letters()
    assert letter.error["name"] == name
    assert ask("SELECT max(attempt) FROM arvo.log") == [(1,)]


@pytest.mark.parametrize("make", [MuteError, Bare])
async def test_whatever_a_plain_listener_raises_is_a_failure(
    broker, event, until, ask, worker_options, make
):
    def fail(_):
        raise make

    await broker.on_workflow_complete(
        source=CLIENT, listener=fail, options=worker_options(retry_limit=0)
    )
    await broker.dispatch(event(CLIENT))
    await until(lambda: idle(ask))
    async with broker.connection() as contract:
        (letter,) = await contract.dead_letters()
    assert letter.error["name"] == make.__name__


class Batches:
    source = TASK

    def __init__(self, outcome):
        self._outcome = outcome

    async def execute_many(self, events):
        return self._outcome(events)


def raising(make):
    def outcome(_):
        raise make

    return outcome


ODD = {
    "raises what has no text": raising(MuteError),
    "raises what nobody catches": raising(Bare),
    "answers errors without text": lambda events: [MuteError() for _ in events],
    "answers what is no Exception": lambda events: [Bare() for _ in events],
    "answers objects": lambda events: [object() for _ in events],
    "answers a generator": lambda events: ([] for _ in events),
    "answers nothing": lambda _: None,
    "answers too many": lambda events: [[] for _ in [*events, *events]],
    "empties its list": lambda events: events.clear() or [],
    "shortens its list": lambda events: [[] for _ in events[:1] if events.pop()],
}


@pytest.mark.parametrize("way", ODD)
async def test_whatever_a_batch_handler_does_is_a_failure(
    broker, event, until, ask, worker_options, way
):
    await broker.register(Batches(ODD[way]), worker_options(retry_limit=0))
    await broker.dispatch_many([event(TASK, number=n) for n in range(5)])
    await until(lambda: idle(ask))
    async with broker.connection() as contract:
        letters = await contract.dead_letters()
    assert len(letters) == 5
    assert ask("SELECT max(attempt) FROM arvo.log") == [(1,)]


async def test_a_queue_whose_handler_always_fails_is_worked_on_slowly(
    broker, event, recorder, until, worker_options
):
    """Although it asks to be tried again at once, and others of it wait; until one succeeds."""
    healthy = asyncio.Event()

    async def fail(_):
        if not healthy.is_set():
            raise ValueError("always")
        return []

    handler = recorder(TASK, fail)
    await broker.register(handler, worker_options(retry_limit=10**6, retry_delay=0, concurrency=2))
    await broker.dispatch_many([event(TASK, number=n) for n in range(100)])
    await until(lambda: len(handler.seen) >= 100 + FAILING)
    began, seen = time.monotonic(), len(handler.seen)
    await until(lambda: len(handler.seen) >= seen + 20)
    assert time.monotonic() - began > 8 * FAILING_PAUSE_SECONDS, "two at a time"
    healthy.set()
    await until(lambda: len({found.data["number"] for found in handler.seen[-100:]}) == 100)
