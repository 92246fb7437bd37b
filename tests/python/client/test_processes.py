"""Workers in processes of their own: routing over two of them, and kill -9 around a settlement."""

import os
import subprocess
import sys

import pytest

from arvo_plpg import MemoryMetadata

CLIENT = "com.example.client"
FLOW = "com.example.flow"
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
import asyncio, os, signal, sys
from arvo_plpg import MemoryMetadata, PostgresEventBroker, create_arvo_event
from arvo_plpg.aio import Broker

DSN, MOMENT = sys.argv[1:]
work = Broker.work

async def fatal(self, results=(), *others, **named):
    def die():
        os.kill(os.getpid(), signal.SIGKILL)
    if results and MOMENT == "before":
        die()
    if results and MOMENT == "during":
        asyncio.create_task(work(self, results, *others, **named))
        for _ in range(5):
            await asyncio.sleep(0)
        die()
    answers = await work(self, results, *others, **named)
    if results:
        die()
    return answers

Broker.work = fatal

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


@pytest.mark.parametrize("moment", ["before", "during", "after"])
async def test_a_step_whose_process_is_killed_at_its_settlement_has_all_its_effects_once(
    broker_on, event, stateful_recorder, until, ask, story, program, moment
):
    """Before the call, with the call on its way, or with the answer not yet read."""
    broker = await broker_on(lease_seconds=1, name="survivor")
    reported, approvals = [], []

    async def step(asked, memory):
        state = await memory.read(asked.subject)
        metadata = MemoryMetadata(asked.subject, None, CLIENT, FLOW)
        steps = state["steps"] + 1 if state else 1
        await memory.write(asked.subject, {"steps": steps}, state, metadata)
        answers = [event(CLIENT, subject=asked.subject, number=number) for number in range(3)]
        return [*answers, event(subject=asked.subject, number=3, domain="human")]

    asked = event(FLOW, subject="flow")
    await broker.dispatch(asked)
    victim = program(DIES, moment)
    await until(lambda: victim.poll() is not None)
    assert victim.returncode == -9
    await broker.on_workflow_complete(source=CLIENT, listener=reported.append)
    broker.on_domained_event(approvals.append)
    await broker.register(stateful_recorder(FLOW, step))
    whole = [(FLOW, 1, "completed")]
    again = [(FLOW, 1, "expired"), (FLOW, 2, "completed")]
    expected = {"before": [again], "during": [whole, again], "after": [whole]}[moment]
    await until(lambda: story(asked) in expected and len(reported) >= 3 and approvals)
    await until(lambda: ask("SELECT sum(queued_count + active_count) FROM arvo_v1.queue_stats()")
                == [(0,)])  # fmt: skip
    assert sorted(found.data["number"] for found in reported) == [0, 1, 2]
    assert [found.data["number"] for found in approvals] == [3]
    assert ask("SELECT version, data FROM arvo.state") == [(1, {"steps": 1})]
