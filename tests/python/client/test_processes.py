"""Workers in processes of their own: routing over two, and what stops or kills one of them."""

import os
import signal
import subprocess
import sys

import pytest

from arvo_plpg import MemoryMetadata

CLIENT = "com.example.client"
FLOW = "com.example.flow"
TASK = "com.example.task"
FIRST, SECOND = "com.example.first", "com.example.second"

PASSES_ON = """
import asyncio, sys
from arvo_plpg import PostgresEventBroker, create_arvo_event

class First:
    source = "com.example.first"
    async def execute(self, event):
        number = event.data["number"] + 1
        return [create_arvo_event(source=self.source, type="com.example.second.asked",
            subject=event.subject, to="com.example.second", data={"number": number})]

async def main():
    broker = PostgresEventBroker(sys.argv[1], name="elsewhere")
    await broker.start()
    await broker.register(First())
    print("registered", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

DIES = """
import asyncio, logging, os, signal, sys
from arvo_plpg import MemoryMetadata, PostgresEventBroker, create_arvo_event
from arvo_plpg.aio import Broker
from arvo_plpg.runtime.hop import Hop

DSN, MOMENT = sys.argv[1:]
work, make = Broker.work, Hop.make

async def fatal(call):
    def die():
        os.kill(os.getpid(), signal.SIGKILL)
    if MOMENT == "before":
        die()
    if MOMENT == "late":
        os.kill(os.getpid(), signal.SIGSTOP)
    if MOMENT == "during":
        asyncio.create_task(call())
        for _ in range(5):
            await asyncio.sleep(0)
        die()
    answers = await call()
    if MOMENT == "after":
        die()
    return answers

async def fatal_work(self, results=(), *others, **named):
    call = lambda: work(self, results, *others, **named)
    return await (fatal(call) if results else call())

async def fatal_make(self, settling, claiming):
    return await fatal(lambda: make(self, settling, claiming))

logging.basicConfig(stream=sys.stdout)
Broker.work, Hop.make = fatal_work, fatal_make

class Flow:
    source, stateful = "com.example.flow", True
    async def execute(self, event, *, memory=None):
        state = await memory.read(event.subject)
        metadata = MemoryMetadata(event.subject, None, None, self.source)
        await memory.write(event.subject, {"steps": 1}, state, metadata)
        return [create_arvo_event(source=self.source, type="com.example.flow.done", to=to,
            subject=event.subject, data={"number": n}, domain=domain)
            for n, (to, domain) in enumerate(
                [("com.example.client", None)] * 3 + [("com.example.person", "human")])]

async def main():
    broker = PostgresEventBroker(DSN, lease_seconds=1, name="victim")
    await broker.start()
    await broker.register(Flow())
    await asyncio.Event().wait()

asyncio.run(main())
"""


STANDS_STILL = """
import asyncio, os, signal, sys
from arvo_plpg import HandlerOptions, PostgresEventBroker, WorkerOptions

class Task:
    source = "com.example.task"
    def run(self, event):
        print("ran", event.data["number"], flush=True)
        if event.data["number"] == 300:
            os.kill(os.getpid(), signal.SIGSTOP)
    async def execute(self, event):
        self.run(event)
        return []

class Batches(Task):
    execute = None
    async def execute_many(self, events):
        for event in events:
            self.run(event)
        return [[] for _ in events]

async def main():
    broker = PostgresEventBroker(sys.argv[1], lease_seconds=1, name="victim")
    await broker.start()
    handler = Batches() if sys.argv[2] == "batches" else Task()
    await broker.register(handler, HandlerOptions(worker=WorkerOptions(batch_size=20)))
    await asyncio.Event().wait()

asyncio.run(main())
"""


IN_ORDER = """
import asyncio, os, signal, sys
from arvo_plpg import HandlerOptions, MemoryMetadata, PostgresEventBroker, WorkerOptions

class Flow:
    source, stateful = "com.example.flow", True
    async def execute(self, event, *, memory=None):
        number = event.data["number"]
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        state = await memory.read(event.subject)
        numbers = [*(state["numbers"] if state else []), number]
        metadata = MemoryMetadata(event.subject, None, None, self.source)
        await memory.write(event.subject, {"numbers": numbers}, state, metadata)
        return []

async def main():
    broker = PostgresEventBroker(sys.argv[1], lease_seconds=1, name="victim")
    await broker.start()
    await broker.register(Flow(), HandlerOptions(worker=WorkerOptions(concurrency=8)))
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def program(dsn):
    """Run a program beside this one: program(text, *words). It is killed at the end of the test."""
    started = []

    def run(text, *words):
        process = subprocess.Popen(
            [sys.executable, "-c", text, dsn, *words], stdout=subprocess.PIPE
        )
        os.set_blocking(process.stdout.fileno(), False)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_handlers_live_in_two_processes(broker, event, recorder, until, program, story):
    """Each has its own handler only; events go from one to the other through the database."""

    async def answer(asked):
        return [event(CLIENT, subject=asked.subject, number=asked.data["number"] + 1)]

    answers, second = [], recorder(SECOND, answer)
    early = event(FIRST, subject="early", number=0)
    assert (await broker.dispatch(early)).outcome == "unroutable"
    await broker.register(second)
    await broker.on_workflow_complete(source=CLIENT, listener=answers.append)
    elsewhere = program(PASSES_ON)
    await until(lambda: b"registered" in (elsewhere.stdout.read() or b""))
    assert FIRST not in broker.queues
    asked = [event(FIRST, subject=f"s{number}", number=number * 10) for number in range(1, 10)]
    results = await broker.dispatch_many(asked)
    assert {result.outcome for result in results} == {"queued"}
    await until(lambda: len(answers) == 10)
    assert sorted(found.data["number"] for found in answers) == [n * 10 + 2 for n in range(10)]
    assert len(second.seen) == 10
    await until(lambda: story(early) == [(FIRST, 1, "completed")])
    async with broker.connection() as contract:
        assert await contract.dead_letters() == []


def same_step(event):
    """What the program above does in one step, counting how often it was done."""

    async def step(asked, memory):
        state = await memory.read(asked.subject)
        metadata = MemoryMetadata(asked.subject, None, CLIENT, FLOW)
        steps = state["steps"] + 1 if state else 1
        await memory.write(asked.subject, {"steps": steps}, state, metadata)
        answers = [event(CLIENT, subject=asked.subject, number=number) for number in range(3)]
        return [*answers, event(subject=asked.subject, number=3, domain="human")]

    return step


@pytest.mark.parametrize("moment", ["before", "during", "after"])
async def test_a_step_whose_process_is_killed_at_its_settlement_has_all_its_effects_once(
    broker_on, event, stateful_recorder, until, ask, story, program, moment
):
    """Before the call, with the call on its way, or with the answer not yet read."""
    broker = await broker_on(lease_seconds=1, name="survivor")
    reported, approvals = [], []
    asked = event(FLOW, subject="flow")
    await broker.dispatch(asked)
    victim = program(DIES, moment)
    await until(lambda: victim.poll() is not None)
    assert victim.returncode == -9
    await broker.on_workflow_complete(source=CLIENT, listener=reported.append)
    broker.on_domained_event(approvals.append)
    await broker.register(stateful_recorder(FLOW, same_step(event)))
    whole = [(FLOW, 1, "completed")]
    again = [(FLOW, 1, "expired"), (FLOW, 2, "completed")]
    expected = {"before": [again], "during": [whole, again], "after": [whole]}[moment]
    await until(lambda: story(asked) in expected and len(reported) >= 3 and approvals)
    await until(lambda: idle(ask))
    assert sorted(found.data["number"] for found in reported) == [0, 1, 2]
    assert [found.data["number"] for found in approvals] == [3]
    assert ask("SELECT version, data FROM arvo.state") == [(1, {"steps": 1})]


def idle(ask):
    return ask(
        "SELECT count(*) FROM arvo_v1.queue_stats()"
        " WHERE queued_count + active_count + deferred_count > 0"
    ) == [(0,)]


async def test_a_process_that_was_stopped_for_too_long_settles_nothing(
    broker_on, event, stateful_recorder, until, ask, story, program
):
    """It stops between the end of its handler and the settlement, and goes on when all is done."""
    broker = await broker_on(lease_seconds=1, name="survivor")
    reported, approvals = [], []
    asked = event(FLOW, subject="flow")
    await broker.dispatch(asked)
    victim = program(DIES, "late")
    await until(lambda: os.waitpid(victim.pid, os.WUNTRACED | os.WNOHANG)[0] == victim.pid)
    await broker.on_workflow_complete(source=CLIENT, listener=reported.append)
    broker.on_domained_event(approvals.append)
    await broker.register(stateful_recorder(FLOW, same_step(event)))
    await until(lambda: story(asked) == [(FLOW, 1, "expired"), (FLOW, 2, "completed")])
    victim.send_signal(signal.SIGCONT)
    printed = bytearray()

    def refused():
        printed.extend(victim.stdout.read() or b"")
        return b"is not held under lease" in printed

    await until(refused)
    await until(lambda: len(reported) == 3 and approvals and idle(ask))
    assert sorted(found.data["number"] for found in reported) == [0, 1, 2]
    assert len(approvals) == 1
    assert ask("SELECT version, data FROM arvo.state") == [(1, {"steps": 1})]
    assert ask("SELECT count(*) FROM arvo.log WHERE lane > 0 AND event ->> 'to' = %s", CLIENT) == [
        (3,)
    ]


@pytest.mark.parametrize("way", ["single", "batches"])
async def test_a_process_that_was_stopped_for_too_long_begins_nothing_that_it_held(
    broker_on, event, recorder, until, ask, program, way
):
    broker = await broker_on(lease_seconds=1, name="survivor")
    await broker.dispatch_many([event(TASK, number=n) for n in range(600)])
    victim = program(STANDS_STILL, way)
    printed = bytearray()

    def stopped():
        printed.extend(victim.stdout.read() or b"")
        return os.waitpid(victim.pid, os.WUNTRACED | os.WNOHANG)[0] == victim.pid

    await until(stopped)
    before = bytes(printed + (victim.stdout.read() or b"")).decode().split()[1::2]
    handler = recorder(TASK)
    await broker.register(handler)
    await until(lambda: idle(ask))
    here = {found.data["number"] for found in handler.seen}
    victim.send_signal(signal.SIGCONT)
    # It works again when it is given something, which comes behind what it held.
    await broker.stop()
    another = event(TASK, number=1000)
    with_it = await broker_on(name="client")
    await with_it.dispatch(another)
    printed.clear()

    def ran_it():
        printed.extend(victim.stdout.read() or b"")
        return "1000" in printed.decode().split()

    await until(ran_it)
    after = [int(number) for number in printed.decode().split()[1::2]]
    running = 20 if way == "batches" else 1
    assert len(here.intersection(after)) < running, "what ran when it was stopped"
    assert len(here) + len(set(map(int, before)) - here) >= 600 - running


@pytest.mark.parametrize("number", [0, 3, 5])
async def test_the_order_of_a_key_survives_the_death_of_its_worker(
    broker_on, event, stateful_recorder, until, ask, story, program, number
):
    broker = await broker_on(lease_seconds=1, name="survivor")
    events = [event(FLOW, subject="flow", number=n) for n in range(6)]
    await broker.dispatch_many(events)
    victim = program(IN_ORDER, str(number))
    await until(lambda: victim.poll() is not None)

    async def step(asked, memory):
        state = await memory.read(asked.subject)
        numbers = [*(state["numbers"] if state else []), asked.data["number"]]
        metadata = MemoryMetadata(asked.subject, None, CLIENT, FLOW)
        await memory.write(asked.subject, {"numbers": numbers}, state, metadata)
        return []

    await broker.register(stateful_recorder(FLOW, step))
    await until(lambda: ask("SELECT version, data FROM arvo.state")
                == [(6, {"numbers": list(range(6))})])  # fmt: skip
    await until(lambda: idle(ask))
    charged = [asked.data["number"] for asked in events if story(asked)[-1][1] > 1]
    assert len(charged) == 1, "only the first that was open when the worker died"
    assert charged[0] <= number
