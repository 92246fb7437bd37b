"""What is lost with a worker, a connection or an answer, and what must not be."""

import asyncio
import signal
import subprocess
import sys

import psycopg
import pytest

from arvo_plpg import HandlerOptions, MemoryMetadata
from arvo_plpg.aio import Broker
from arvo_plpg.runtime.hop import Hop

CLIENT = "com.example.client"
TASK = "com.example.task"
FLOW = "com.example.flow"

LEAVES = """
import asyncio, os, signal, sys
from arvo_plpg import HandlerOptions, PostgresEventBroker, WorkerOptions
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below a shell's background job

class Task:
    source = "com.example.task"
    async def execute(self, event):
        print("began", flush=True)
        if event.data["number"] == 3:
            await asyncio.sleep(0.3)
            if sys.argv[2] == "exit":
                sys.exit(4)
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))
        await asyncio.sleep(600)

async def main():
    broker = PostgresEventBroker(sys.argv[1], lease_seconds=1, name="victim")
    await broker.start()
    await broker.register(Task(), HandlerOptions(worker=WorkerOptions(concurrency=4)))
    await asyncio.Event().wait()

asyncio.run(main())
"""


def leave(dsn, way):
    return subprocess.run(
        [sys.executable, "-c", LEAVES, dsn, way], stderr=subprocess.PIPE, check=False, timeout=60
    ).returncode


async def test_a_worker_that_dies_is_noticed_by_others_that_sleep_for_long(
    broker_on, event, recorder, until, worker_options, dsn, monkeypatch, story
):
    """They look again when its leases lapse, not when they poll, and not by maintenance."""
    monkeypatch.setattr("arvo_plpg.broker._BEATS_TO_MAINTAIN", 10**9)
    survivor = await broker_on(lease_seconds=1, name="survivor")
    begun = asyncio.Event()

    async def wait(asked):
        begun.set()
        if asked.data["number"] == 0:
            await asyncio.sleep(3)  # the survivor has no room until the victim has claimed
        return []

    handler = recorder(TASK, wait)
    options = worker_options(polling_interval_seconds=3000, prefetch=0)
    first, lost = event(TASK, number=0), event(TASK, number=3)
    await survivor.dispatch(lost)
    died = asyncio.create_task(asyncio.to_thread(leave, dsn, "SIGKILL"))
    await until(lambda: story(lost) and story(lost)[0][2] == "active")
    await survivor.register(handler, options)
    await survivor.dispatch(first)
    await begun.wait()
    assert await died == -signal.SIGKILL
    await until(lambda: story(lost) == [(TASK, 1, "expired"), (TASK, 2, "completed")], seconds=30)


@pytest.mark.parametrize(("way", "code"), [("exit", 4), ("SIGINT", -signal.SIGINT)])
async def test_a_handler_that_leaves_the_process_is_charged_and_its_neighbours_are_not(
    broker, event, until, story, dsn, way, code
):
    asked = [event(TASK, number=number) for number in range(6)]
    await broker.dispatch_many(asked)
    assert await asyncio.to_thread(leave, dsn, way) == code
    charged = "retried" if way == "exit" else "released"
    assert [story(one)[0][2] for one in asked[:4]] == ["released"] * 3 + [charged]
    attempts = [story(one)[-1][1] for one in asked]
    assert attempts == [1, 1, 1, 2 if way == "exit" else 1, 1, 1]


def finishing(event):
    async def step(asked, memory):
        state = await memory.read(asked.subject)
        metadata = MemoryMetadata(asked.subject, None, CLIENT, FLOW)
        await memory.write(asked.subject, {"done": True}, state, metadata)
        await memory.cleanup(asked.subject)
        return [event(CLIENT, subject=asked.subject)]

    return step


@pytest.mark.parametrize("moment", ["the look after it fails", "its answer is lost"])
async def test_a_finished_workflow_is_cleaned_up_although_the_connection_is_lost(
    broker, event, stateful_recorder, until, ask, story, monkeypatch, moment
):
    """Right after the settlement, when nothing could be claimed behind it, or with its answer."""
    make, look = Hop.make, Broker.look
    settled, lost = [], []

    async def losing_make(self, *given):
        answers, found = await make(self, *given)
        settled.append(answers)
        if not lost and moment == "its answer is lost":
            lost.append(moment)
            raise psycopg.OperationalError("the connection is lost")
        return answers, found if lost else None

    async def losing_look(self, *others, **named):
        if settled and not lost:
            lost.append(moment)
            raise psycopg.OperationalError("the connection is lost")
        return await look(self, *others, **named)

    monkeypatch.setattr(Hop, "make", losing_make)
    monkeypatch.setattr(Broker, "look", losing_look)
    await broker.register(
        stateful_recorder(FLOW, finishing(event)), HandlerOptions(enable_cleanup=True)
    )
    asked = event(FLOW, subject="flow")
    await broker.dispatch(asked)
    await until(lambda: lost and story(asked) == [(FLOW, 1, "completed")])
    await until(lambda: ask("SELECT count(*) FROM arvo.state") == [(0,)])


@pytest.fixture
def owner(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("arvo_plpg.runtime.over.PAUSE_SECONDS", 0.2)


async def test_a_clean_up_that_waits_for_somebody_holds_nobody_up(
    broker, event, recorder, stateful_recorder, until, ask, story, dsn, impatient
):
    """Whoever holds the lock may do so for hours; the state goes once he has let go of it."""
    await broker.register(
        stateful_recorder(FLOW, finishing(event)), HandlerOptions(enable_cleanup=True)
    )
    await broker.register(recorder(TASK))
    asked, after = event(FLOW, subject="flow"), event(TASK)
    with psycopg.connect(dsn) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(arvo.lock_key('flow'))")
        await broker.dispatch(asked)
        await until(lambda: story(asked) == [(FLOW, 1, "completed")])
        await broker.dispatch(after)
        await until(lambda: story(after) == [(TASK, 1, "completed")])
    await until(lambda: ask("SELECT count(*) FROM arvo.state") == [(0,)])


async def test_a_clean_up_that_is_refused_stops_nobody(
    broker, event, recorder, stateful_recorder, until, ask, story, owner, impatient
):
    """A database that refuses it again and again costs the worker no connection and no turn."""
    owner.execute(
        "CREATE FUNCTION arvo.refuse() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
    )
    owner.execute(
        "CREATE TRIGGER refuse BEFORE DELETE ON arvo.state"
        " FOR EACH ROW EXECUTE FUNCTION arvo.refuse()"
    )
    await broker.register(
        stateful_recorder(FLOW, finishing(event)), HandlerOptions(enable_cleanup=True)
    )
    await broker.register(recorder(TASK))
    asked, after = event(FLOW, subject="flow"), event(TASK)
    await broker.dispatch(asked)
    await until(lambda: story(asked) == [(FLOW, 1, "completed")])
    await broker.dispatch_many([after, *(event(TASK, number=n) for n in range(20))])
    await until(lambda: story(after) == [(TASK, 1, "completed")])
    owner.execute("DROP TRIGGER refuse ON arvo.state")
    await until(lambda: ask("SELECT count(*) FROM arvo.state") == [(0,)])


async def test_a_clean_up_that_was_put_off_is_tried_once_more_at_the_end(
    broker, event, stateful_recorder, until, ask, story, dsn, monkeypatch, caplog
):
    monkeypatch.setattr("arvo_plpg.runtime.over.PAUSE_SECONDS", 600.0)
    await broker.register(
        stateful_recorder(FLOW, finishing(event)), HandlerOptions(enable_cleanup=True)
    )
    asked = event(FLOW, subject="flow")
    with psycopg.connect(dsn) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(arvo.lock_key('flow'))")
        await broker.dispatch(asked)
        await until(lambda: story(asked) == [(FLOW, 1, "completed")])
        await until(lambda: "cannot be cleaned up now" in caplog.text)
    assert ask("SELECT count(*) FROM arvo.state") == [(1,)]
    await broker.stop()
    assert ask("SELECT count(*) FROM arvo.state") == [(0,)]


async def test_stopping_while_the_loop_registers_is_not_slept_through(broker_on, caplog):
    """Nobody rested when stop() ended the rest; the loop rested afterwards, for an hour."""
    caplog.set_level("WARNING")
    for _ in range(3):
        broker = await broker_on()
        broker.on_handler_not_found(print)
        await asyncio.wait_for(broker.stop(), 8)  # it gave up after ten
    assert not caplog.records


async def test_a_small_pool_does_not_hold_up_stopping(broker_on, recorder, monkeypatch):
    """Its one connection is just given to the housekeeping when that is to end."""
    monkeypatch.setattr("arvo_plpg.runtime.ending._PATIENCE_SECONDS", 60.0)
    async with asyncio.timeout(30):
        for _ in range(5):
            broker = await broker_on(pool_size=1)
            await broker.register(recorder(TASK))
            await broker.stop()
