"""Workflows through real workers: nothing lost, nothing twice, no attempt burnt."""

import asyncio
import os
import subprocess
import sys
import textwrap

import pytest

from arvo_plpg import MemoryMetadata, create_arvo_event_factory
from arvo_plpg.demo.average import AVERAGE_CONTRACT
from arvo_plpg.demo.show import approve
from arvo_plpg.demo.weighted_average import WEIGHTED_AVERAGE_CONTRACT
from arvo_plpg.demo.workflows import create_demo_handlers
from arvo_plpg.sync import Broker, Memory

CLIENT = "com.example.client"
FLOW = "com.example.flow"


@pytest.fixture
def start_average():
    def make(*numbers):
        factory = create_arvo_event_factory(AVERAGE_CONTRACT.version("1.0.0"))
        return factory.init(source=CLIENT, data={"parentSubject$$": None, "numbers": list(numbers)})

    return make


@pytest.fixture
def start_weighted():
    def make(*items):
        factory = create_arvo_event_factory(WEIGHTED_AVERAGE_CONTRACT.version("1.0.0"))
        given = [{"value": value, "weight": weight} for value, weight in items]
        return factory.init(source=CLIENT, data={"parentSubject$$": None, "input": given})

    return make


@pytest.fixture
def demo_on(broker_on, worker_options):
    """Two brokers that both have all handlers of the demonstration, and the client's answers."""

    async def start(**arguments):
        answers = {}
        brokers = [await broker_on(name=f"worker-{n}", **arguments) for n in (1, 2)]
        for broker in brokers:
            for handler in create_demo_handlers():
                await broker.register(handler, worker_options(concurrency=10))
            broker.on_domained_event(approve)
        await brokers[0].on_workflow_complete(
            source=CLIENT, listener=lambda found: answers.setdefault(found.subject, found) and None
        )
        return brokers, answers

    return start


def burnt(ask):
    """Deliveries of a second attempt, and dead letters."""
    return (
        ask("SELECT count(*) FROM arvo.log WHERE attempt > 1")[0][0]
        + (ask("SELECT count(*) FROM arvo.dead")[0][0])
    )


async def test_the_two_workflows_of_the_demonstration_many_times(
    demo_on, start_average, start_weighted, until, ask
):
    (broker, _), answers = await demo_on()
    averages = {(event := start_average(n, n + 2)).subject: event for n in range(10)}
    weighted = {
        (event := start_weighted((n, 0.5), (n, 1.5), (n, 1))).subject: event for n in range(10)
    }
    await broker.dispatch_many([*averages.values(), *weighted.values()])
    await until(lambda: len(answers) == 20, seconds=40)
    for subject, event in averages.items():
        assert answers[subject].data["average"] == event.data["numbers"][0] + 1
    for subject, event in weighted.items():
        value = event.data["input"][0]["value"]
        assert answers[subject].data["output"] == pytest.approx(value)
    assert burnt(ask) == 0
    # start, sum, product: three steps of one, seven of the other
    versions = ask("SELECT version, count(*) FROM arvo.state GROUP BY version ORDER BY version")
    assert versions == [(3, 10), (7, 10)]


def collecting(event):
    """A step that remembers the number of its event and reports it."""

    async def step(asked, memory):
        state = await memory.read(asked.subject)
        await asyncio.sleep(0)  # so that others can get in between
        seen = [*(state["seen"] if state else []), asked.data["number"]]
        metadata = MemoryMetadata(asked.subject, None, CLIENT, FLOW)
        await memory.write(asked.subject, {"seen": seen}, state, metadata)
        return [event(to=CLIENT, subject=asked.subject, number=asked.data["number"])]

    return step


@pytest.mark.parametrize("brokers", [1, 2])
async def test_thirty_answers_to_one_workflow_at_once(
    broker_on, event, stateful_recorder, until, ask, worker_options, brokers
):
    """No update is lost, none is made twice, and no conflict costs an attempt."""
    reported = []
    handlers = []
    for number in range(brokers):
        broker = await broker_on(name=f"worker-{number}")
        handlers.append(stateful_recorder(FLOW, collecting(event)))
        await broker.register(handlers[-1], worker_options(concurrency=10, retry_limit=0))
    await broker.on_workflow_complete(
        source=CLIENT, listener=lambda found: reported.append(found.data["number"])
    )
    subjects = ["one", "two", "three"]
    for number in range(30):
        await broker.dispatch_many([event(to=FLOW, subject=s, number=number) for s in subjects])
    await until(lambda: len(reported) >= 90, seconds=60)
    await until(lambda: settled(broker))
    assert sorted(reported) == sorted([*range(30)] * 3)
    states = ask("SELECT subject, version, data FROM arvo.state ORDER BY subject")
    assert [(subject, version) for subject, version, _ in states] == [
        ("one", 30), ("three", 30), ("two", 30),
    ]  # fmt: skip
    for _, _, data in states:
        assert sorted(data["seen"]) == list(range(30))
    assert burnt(ask) == 0


async def settled(broker):
    return all(
        stats.queued_count == stats.active_count == stats.deferred_count == 0
        for stats in await broker.get_stats()
    )


async def test_steps_of_one_workflow_in_one_process_do_not_conflict(
    broker, event, stateful_recorder, until, ask, worker_options
):
    handler = stateful_recorder(FLOW, collecting(event))
    await broker.register(handler, worker_options(concurrency=10))
    await broker.dispatch_many([event(to=FLOW, number=number) for number in range(30)])
    await until(lambda: ask("SELECT version FROM arvo.state") == [(30,)])
    await until(lambda: settled(broker))
    assert len(handler.seen) == 30, "each ran once"


async def test_a_conflict_from_outside_runs_the_step_again_uncharged(
    broker, event, stateful_recorder, until, connection, story, worker_options
):
    async def step(asked, memory):
        if len(handler.seen) == 1:
            Memory(connection).write_state(asked.subject, {"seen": [-1]}, 0)
        return await collecting(event)(asked, memory)

    handler = stateful_recorder(FLOW, step)
    await broker.register(handler, worker_options(retry_limit=0))
    asked = event(to=FLOW, number=5)
    await broker.dispatch(asked)
    await until(lambda: len(story(asked)) == 2 and story(asked)[-1][2] == "completed")
    assert story(asked) == [(FLOW, 1, "conflict"), (FLOW, 1, "completed")]
    state = Memory(connection).read_state(asked.subject)
    assert (state.version, state.data) == (2, {"seen": [-1, 5]})


async def test_a_refused_step_takes_nobody_with_it(
    broker, event, stateful_recorder, until, connection, ask, worker_options
):
    """While three steps of a workflow are in hand, another process moves its state on.

    The second step must not go on from what the first would have written: that was never stored,
    although the version number is the one that it expects.
    """

    async def step(asked, memory):
        if len(handler.seen) == 1:
            Memory(connection).write_state(asked.subject, {"seen": [100]}, 0)
        return await collecting(event)(asked, memory)

    handler = stateful_recorder(FLOW, step)
    await broker.dispatch_many([event(to=FLOW, number=number) for number in range(3)])
    await broker.register(handler, worker_options(concurrency=3, retry_limit=0))
    await until(lambda: ask("SELECT version FROM arvo.state") == [(4,)])
    ((data,),) = ask("SELECT data FROM arvo.state")
    assert sorted(data["seen"]) == [0, 1, 2, 100]
    assert burnt(ask) == 0


async def test_rubbish_after_a_write_leaves_no_state_for_the_next_step(
    broker, event, stateful_recorder, until, ask, worker_options
):
    async def step(asked, memory):
        events = await collecting(event)(asked, memory)
        return events if asked.data["number"] else "rubbish"

    await broker.dispatch_many([event(to=FLOW, number=number) for number in range(3)])
    await broker.register(
        stateful_recorder(FLOW, step), worker_options(concurrency=3, retry_limit=0)
    )
    await until(lambda: ask("SELECT data FROM arvo.state") == [({"seen": [1, 2]},)])
    await until(lambda: ask("SELECT event->'data' FROM arvo.dead") == [({"number": 0},)])


async def test_waiting_for_its_turn_does_not_use_up_a_steps_time(
    broker, event, stateful_recorder, until, ask, worker_options
):
    gate = asyncio.Event()

    async def step(asked, memory):
        if asked.data["number"] < 2:
            gate.clear()
            asyncio.get_running_loop().call_later(0.7, gate.set)
            await gate.wait()
        return await collecting(event)(asked, memory)

    await broker.dispatch_many([event(to=FLOW, number=number) for number in range(3)])
    await broker.register(
        stateful_recorder(FLOW, step),
        worker_options(concurrency=3, retry_limit=0, expire_in_seconds=1),
    )
    await until(lambda: ask("SELECT data FROM arvo.state") == [({"seen": [0, 1, 2]},)])
    assert burnt(ask) == 0


async def test_what_a_step_wrote_cannot_be_changed_afterwards(
    broker, event, stateful_recorder, until, ask
):
    async def step(asked, memory):
        data = {"list": [1], "tuple": (1, 2), 3: "number"}
        metadata = MemoryMetadata(asked.subject, None, None, FLOW)
        await memory.write(asked.subject, data, None, metadata)
        data["list"].append(2)
        written = await memory.read(asked.subject)
        assert written == {"list": [1], "tuple": [1, 2], "3": "number"}
        await memory.write(asked.subject, {**written, "again": True}, written, metadata)
        return []

    await broker.register(stateful_recorder(FLOW, step))
    await broker.dispatch(event(to=FLOW))
    await until(lambda: ask("SELECT 1 FROM arvo.state"))
    ((version, data),) = ask("SELECT version, data FROM arvo.state")
    assert version == 1, "one step is one version"
    assert data == {"list": [1], "tuple": [1, 2], "3": "number", "again": True}


@pytest.mark.parametrize("misuse", ["foreign", "stale"])
async def test_a_step_may_write_only_what_is_its_own(
    broker, event, stateful_recorder, until, ask, worker_options, misuse
):
    async def step(asked, memory):
        metadata = MemoryMetadata(asked.subject, None, None, FLOW)
        if misuse == "foreign":
            await memory.write("another", {}, None, metadata)
        await memory.write(asked.subject, {"a": 1}, None, metadata)
        await memory.write(asked.subject, {"a": 2}, None, metadata)
        return []

    await broker.register(stateful_recorder(FLOW, step), worker_options(retry_limit=0))
    await broker.dispatch(event(to=FLOW))
    ((error,),) = await until(lambda: ask("SELECT error FROM arvo.dead"))
    assert error["name"] == {"foreign": "ForeignSubject", "stale": "VersionConflict"}[misuse]
    assert ask("SELECT count(*) FROM arvo.state") == [(0,)]


# --- crashes

PROGRAM = """
import asyncio, sys
from arvo_plpg import HandlerOptions, MemoryMetadata, PostgresEventBroker, WorkerOptions

class Flow:
    source, stateful = "com.example.flow", True
    async def execute(self, event, *, memory=None):
        state = await memory.read(event.subject)
        metadata = MemoryMetadata(event.subject, None, None, self.source)
        await memory.write(event.subject, {"seen": ["crashed"]}, state, metadata)
        print("claimed", flush=True)
        await asyncio.Event().wait()

async def main():
    broker = PostgresEventBroker(sys.argv[1], lease_seconds=1, name="victim")
    await broker.start()
    await broker.register(Flow(), HandlerOptions(worker=WorkerOptions(concurrency=5)))
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_process_loses_its_deliveries_to_another(
    broker_on, event, stateful_recorder, until, ask, story, dsn, worker_options
):
    reported = []
    broker = await broker_on(lease_seconds=1)
    await broker.on_workflow_complete(source=CLIENT, listener=reported.append)
    events = [event(to=FLOW, subject=f"s{number}", number=number) for number in range(3)]
    await broker.dispatch_many(events)
    victim = subprocess.Popen(  # noqa: ASYNC220 - it is read without waiting
        [sys.executable, "-c", textwrap.dedent(PROGRAM), dsn], stdout=subprocess.PIPE
    )
    try:
        os.set_blocking(victim.stdout.fileno(), False)
        printed = bytearray()

        def claimed():
            printed.extend(victim.stdout.read() or b"")
            assert victim.poll() is None
            return printed.count(b"claimed") == 3

        await until(claimed)
    finally:
        victim.kill()
        victim.wait()
        victim.stdout.close()
    await broker.register(stateful_recorder(FLOW, collecting(event)), worker_options(concurrency=5))
    await until(lambda: len(reported) == 3)
    await until(lambda: settled(broker))
    assert sorted(found.data["number"] for found in reported) == [0, 1, 2]
    for asked in events:
        assert story(asked) == [(FLOW, 1, "expired"), (FLOW, 2, "completed")]
    states = ask("SELECT version, data FROM arvo.state ORDER BY subject")
    assert states == [(1, {"seen": [number]}) for number in range(3)]


async def test_a_step_that_ended_but_was_not_settled_has_no_effect(
    broker_on, event, stateful_recorder, until, ask, story, worker_options
):
    """The loop that settles dies between the end of the handler and the settlement."""
    reported = []

    async def step(asked, memory):
        events = await collecting(event)(asked, memory)
        victim._worker._given_up = True  # or it would still settle what has ended
        victim._worker._loop_task.cancel()
        return events

    victim = await broker_on(lease_seconds=1, name="victim")
    await victim.register(stateful_recorder(FLOW, step))
    survivor = await broker_on(lease_seconds=1, name="survivor")
    await survivor.on_workflow_complete(source=CLIENT, listener=reported.append)
    asked = event(to=FLOW, number=4)
    await survivor.dispatch(asked)
    await until(victim._worker._loop_task.done)
    assert ask("SELECT count(*) FROM arvo.state") == [(0,)]
    await survivor.register(stateful_recorder(FLOW, collecting(event)), worker_options())
    await until(lambda: reported)
    assert story(asked) == [(FLOW, 1, "expired"), (FLOW, 2, "completed")]
    assert ask("SELECT version, data FROM arvo.state") == [(1, {"seen": [4]})]
    assert len(reported) == 1


async def test_an_event_that_comes_twice_emits_nothing_again(
    demo_on, start_average, until, connection
):
    (broker, _), answers = await demo_on()
    start = start_average(1, 3)
    await broker.dispatch(start)
    await until(lambda: answers)
    steps = Broker(connection).trace(start.subject)
    sums = [step for step in steps if step.event_type == "evt.calculator.add.success"]
    products = [step for step in steps if step.event_type == "evt.calculator.product.success"]
    assert len(steps) == 6
    last = next(step for step in products)
    ((again,),) = connection.execute(
        "SELECT event FROM arvo.log WHERE event->>'id' = %s", [last.event_id]
    ).fetchall()
    connection.execute("SELECT arvo_v1.dispatch(%s)", [psycopg_json(again)])
    await until(lambda: settled(broker))
    await until(lambda: len(Broker(connection).trace(start.subject)) == 7)
    await until(
        lambda: all(s.outcome == "completed" for s in Broker(connection).trace(start.subject))
    )
    steps = Broker(connection).trace(start.subject)
    assert len(steps) == 7, "the second delivery, and nothing that it led to"
    assert len(sums) == 1
    ((version,),) = connection.execute("SELECT version FROM arvo.state").fetchall()
    assert version == 3


def psycopg_json(value):
    from psycopg.types.json import Jsonb

    return Jsonb(value)
