"""stop() may be hurried, and called by several; run_until_signal() does both for programs."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from functools import partial

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from arvo_plpg import ArvoError, BrokerNotStarted, PostgresEventBroker, current_delivery

TASK = "com.example.task"
HISTORY = "SELECT event_id, outcome FROM arvo_v1.trace(p_subject => 'task')"
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'arvo-worker'"
)
PROGRAM = """
import asyncio, logging, signal, sys, threading
from pydantic import BaseModel
import arvo_plpg as arvo
from arvo_plpg import PostgresEventBroker

DSN, KIND, WAY = sys.argv[1:]
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(message)s")

class Waits:
    source = "com.example.task"
    async def execute(self, event):
        print("began", flush=True)
        await asyncio.sleep(600)

class Some:
    source = "com.example.task"
    async def execute(self, event):
        if event.data["number"] % 10 == 9:
            print("began", flush=True)
            await asyncio.sleep(600)
        return []

def block(event):
    print("began", flush=True)
    threading.Event().wait(600)

class Ends:
    source = "com.example.task"
    async def execute(self, event):
        print("began", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        return []

class Telling(PostgresEventBroker):
    async def __aexit__(self, *_):
        print("leaving", flush=True)
        await self.stop(600)

class Text(BaseModel):
    text: str

task_1 = arvo.simple_version("1.0.0", accepts=Text, emits=Text)
task = arvo.create_simple_arvo_contract(uri="#/task", type="task.do", versions=[task_1])

@task_1.handler
def plain(call: arvo.HandlerContext[Text]) -> Text:
    block(call)

async def main():
    async with Telling(DSN) as broker:
        if KIND == "block":
            await broker.on_workflow_complete(source="com.example.task", listener=block)
        elif KIND == "plain":
            await broker.register(arvo.create_arvo_event_handler(contract=task, handler=[plain]))
        else:
            await broker.register(globals()[KIND]())
        print("registered", flush=True)
        if WAY == "interrupt":
            await asyncio.Event().wait()
        before = signal.getsignal(signal.SIGTERM)
        await broker.run_until_signal(grace=600)
        assert signal.getsignal(signal.SIGTERM) == before
        print("stopped", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def program(dsn):
    """Start the program; it is killed with the test."""
    started = []

    def start(kind, way="signal"):
        begun = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, dsn, kind, way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Who runs the tests in the background has Ctrl-C ignored, which would be inherited.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
        started.append(begun)
        return begun

    yield start
    for begun in started:
        with begun:
            begun.kill()


def hang(begun):
    async def run(_):
        begun.append(current_delivery().attempt)
        if len(begun) == 1:
            await asyncio.Event().wait()
        return []

    return run


async def test_a_second_stop_hurries_the_first(broker_on, event, recorder, until, story):
    broker, begun = await broker_on(), []
    handler = recorder(action=hang(begun))
    await broker.register(handler)
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: begun)
    patient = [asyncio.create_task(broker.stop(600)) for _ in range(3)]
    async with asyncio.timeout(20):
        await until(broker._leaving.is_set)
        await asyncio.gather(broker.stop(0), broker.stop(0.1), broker.stop(), *patient)
    assert story(asked) == [(TASK, 1, "released"), (TASK, 1, "queued")]
    await broker.stop()
    await broker.start()
    await until(lambda: story(asked)[-1] == (TASK, 1, "completed"))
    assert begun == [1, 1]


async def test_a_longer_grace_does_not_lengthen_a_shorter_one(
    broker_on, event, recorder, until, story
):
    broker, begun = await broker_on(), []
    await broker.register(recorder(action=hang(begun)))
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: begun)
    async with asyncio.timeout(20):
        await asyncio.gather(broker.stop(0.5), broker.stop(600))
    assert story(asked) == [(TASK, 1, "released"), (TASK, 1, "queued")]


async def test_who_is_cancelled_in_stop_has_it_end_at_once(
    broker_on, event, recorder, until, story
):
    broker, begun = await broker_on(), []
    await broker.register(recorder(action=hang(begun)))
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: begun)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await broker.stop(600)
    assert story(asked) == [(TASK, 1, "released"), (TASK, 1, "queued")]
    with pytest.raises(BrokerNotStarted):
        await broker.dispatch(event())


async def test_start_waits_for_the_end_of_a_stop(broker_on, event, recorder, until, story):
    broker, begun = await broker_on(), []
    await broker.register(recorder(action=hang(begun)))
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: begun)
    stopping = asyncio.create_task(broker.stop(600))
    await until(broker._leaving.is_set)
    starting = asyncio.create_task(broker.start())
    await broker.stop(0)
    await stopping
    await starting
    await until(lambda: story(asked)[-1] == (TASK, 1, "completed"))


async def test_a_handler_may_stop_its_broker(broker_on, event, recorder, until, story):
    broker = await broker_on()

    async def leave(_):
        await broker.stop(0)

    await broker.register(recorder(action=leave))
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: broker._pool is None)
    assert story(asked) == [(TASK, 1, "released"), (TASK, 1, "queued")]


async def heard(process, words):
    """Read what a program tells until certain words; the test's time limit is the deadline."""
    while words not in (told := await asyncio.to_thread(process.stdout.readline)):
        assert told, words


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["Waits", "block", "plain"])
async def test_a_program_gives_back_what_runs(program, broker, event, story, kind, number):
    process = program(kind)
    queue = "com.task.do" if kind == "plain" else TASK
    asked = event(queue, type=queue, data={"text": "a"}, dataschema="#/task/1.0.0")
    await broker.dispatch(asked)
    await heard(process, "began")
    process.send_signal(number)
    await heard(process, "worker is stopping")
    process.send_signal(number)
    await heard(process, "stopped")
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert story(asked) == [(queue, 1, "released"), (queue, 1, "queued")]


async def test_who_is_impatient_without_the_helper_charges_nothing_either(
    program, broker, event, story
):
    """Ctrl-C ends the program's `async with`, and a second one the event loop, while it stops."""
    process = program("Waits", "interrupt")
    asked = event()
    await broker.dispatch(asked)
    await heard(process, "began")
    process.send_signal(signal.SIGINT)
    await heard(process, "leaving")
    process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(process.wait, 20) != 0
    assert story(asked) == [(TASK, 1, "released"), (TASK, 1, "queued")]


async def test_a_hurry_counts_also_while_results_are_settled(
    broker_on, event, recorder, until, ask, dsn, log, monkeypatch
):
    """The database does not answer; the results have less time from then on."""
    monkeypatch.setattr("arvo_plpg.runtime.worker._SETTLE_SECONDS", 600.0)
    broker, gate = await broker_on(), asyncio.Event()

    async def wait(_):
        await gate.wait()
        return []

    handler = recorder(action=wait)
    await broker.register(handler)
    await broker.dispatch(event())
    await until(lambda: handler.seen)
    name = sql.Identifier(conninfo_to_dict(dsn)["dbname"])
    with psycopg.connect(dsn, dbname="postgres", autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(name))
        ask(CUT)
        stopping = asyncio.create_task(broker.stop())
        gate.set()
        await until(lambda: "1 results are kept" in log.text)
        assert not stopping.done()
        async with asyncio.timeout(20):
            await broker.stop(0)
            await stopping
        admin.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(name))
    assert "stopped without settling 1 results" in log.text


async def test_a_program_lets_finish_what_runs(program, broker, event, story):
    process = program("Ends")
    asked, later = event(), event()
    await broker.dispatch(asked)
    await heard(process, "began")
    process.send_signal(signal.SIGTERM)
    await heard(process, "worker is stopping")
    await broker.dispatch(later)
    process.stdin.write("go on\n")
    process.stdin.flush()
    await heard(process, "stopped")
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert story(asked) == [(TASK, 1, "completed")]
    assert story(later) == [(TASK, 1, "queued")]


async def test_a_rolling_restart_in_a_hurry_loses_nothing(
    program, broker_on, event, recorder, until, ask
):
    """Processes come and go at once, one after the other; each event has one outcome."""
    broker = await broker_on()
    events = [event(number=number) for number in range(300)]
    for first in range(0, 300, 100):
        process = program("Some")
        await broker.dispatch_many(events[first : first + 100])
        await heard(process, "began")
        for words in ("worker is stopping", "stopping at once"):
            process.send_signal(signal.SIGTERM)
            await heard(process, words)
        assert await asyncio.to_thread(process.wait, 20) == 0
    assert {row[1] for row in ask(HISTORY)} == {"completed", "released", "queued"}
    await broker.register(recorder())
    left = "SELECT sum(queued_count + active_count) FROM arvo_v1.queue_stats()"
    await until(lambda: ask(left) == [(0,)])
    outcomes = Counter(row for row in ask(HISTORY) if row[1] != "released")
    assert outcomes == Counter((one.id, "completed") for one in events)
    assert ask("SELECT max(attempt) FROM arvo_v1.trace(p_subject => 'task')") == [(1,)]


async def test_whoever_else_stops_the_broker_ends_the_wait(broker_on):
    broker = await broker_on()
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    waiting = asyncio.create_task(broker.run_until_signal())
    await asyncio.sleep(0)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] != before
    await broker.stop()
    await waiting
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    with pytest.raises(BrokerNotStarted):
        await broker.run_until_signal()


async def test_not_in_the_main_thread(dsn):
    async def run():
        async with PostgresEventBroker(dsn) as broker:
            await broker.run_until_signal()

    with pytest.raises(ArvoError, match="main thread only") as caught:
        await asyncio.to_thread(asyncio.run, run())
    assert "run_coroutine_threadsafe" in caught.value.hint
