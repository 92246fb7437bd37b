"""A listener whose peer goes silent notices that, and listens again."""

import asyncio
import logging
import time

import psycopg
import pytest

from arvo_plpg import HandlerOptions, PostgresEventBroker, WorkerOptions, create_arvo_event

TASK = "com.example.task"
ASLEEP = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'"
    " AND classid = hashtext('arvo_wake')::oid"
)


async def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        await asyncio.sleep(0.01)


class Task:
    source = TASK

    def __init__(self):
        self.seen = []

    async def execute(self, event):
        self.seen.append(event.data["number"])
        return []


def task(number, to=TASK):
    return create_arvo_event(
        source="com.example.client",
        type="com.example.asked",
        subject="s",
        to=to,
        data={"number": number},
    )


async def test_a_silent_listener_is_replaced(port, proxy, address, through, monkeypatch, caplog):
    """Claims go another way, and the worker polls hardly ever: only a wake-up finds the event."""
    monkeypatch.setattr("arvo_plpg.runtime.wakeup._PROBE_SECONDS", 0.2)
    monkeypatch.setattr("arvo_plpg.runtime.wakeup._ANSWER_SECONDS", 0.5)
    caplog.set_level(logging.WARNING, logger="arvo_plpg")
    handler = Task()
    options = HandlerOptions(worker=WorkerOptions(polling_interval_seconds=3000))
    with psycopg.connect(address(port), autocommit=True) as connection:

        def asleep():
            return connection.execute(ASLEEP).fetchone()[0] >= 2

        async with PostgresEventBroker(address(port), listen_dsn=through) as broker:
            await broker.register(handler, options)
            await until(asleep)
            before = len(proxy.pids())
            proxy.blackhole = True
            await until(lambda: "wake-up connection lost (TimeoutError)" in caplog.text)
            proxy.blackhole = False
            await until(lambda: proxy.pids() and asleep())
            await broker.dispatch(task(1))
            await until(lambda: handler.seen == [1])
        assert before == 1, "nothing but the listener goes by the proxy"


@pytest.mark.parametrize("fault", ["cut", "blackhole", "refuse"])
async def test_work_goes_on_without_the_listener(
    port, proxy, address, through, monkeypatch, caplog, fault
):
    """One queue is polled, the other hardly ever: what is for that one waits for the listener."""
    monkeypatch.setattr("arvo_plpg.runtime.wakeup._PROBE_SECONDS", 0.2)
    monkeypatch.setattr("arvo_plpg.runtime.wakeup._ANSWER_SECONDS", 0.5)
    polled, rarely = Task(), Task()
    polled.source, rarely.source = "com.example.polled", "com.example.rarely"

    def options(seconds):
        return HandlerOptions(worker=WorkerOptions(polling_interval_seconds=seconds))

    with psycopg.connect(address(port), autocommit=True) as connection:

        def asleep():
            return connection.execute(ASLEEP).fetchone()[0] >= 3

        async with PostgresEventBroker(address(port), listen_dsn=through) as broker:
            await broker.register(polled, options(0.5))
            await broker.register(rarely, options(3000))
            await until(asleep)
            if fault == "blackhole":
                proxy.blackhole = True
            else:
                proxy.refuses = fault == "refuse"
                proxy.drop()
            await until(lambda: "wake-up connection lost" in caplog.text)
            for number in range(3):
                await broker.dispatch(task(number, polled.source))
                await until(lambda: polled.seen == list(range(number + 1)))  # noqa: B023
            proxy.blackhole = proxy.refuses = False
            await until(lambda: proxy.pids() and asleep())
            await broker.dispatch(task(3, rarely.source))
            await until(lambda: rarely.seen == [3], seconds=5)
