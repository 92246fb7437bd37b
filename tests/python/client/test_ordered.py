"""Ordered keys through real workers: strictly in order, several of a key in one claim."""

import asyncio

import pytest

from arvo_plpg import HandlerOptions, MemoryMetadata, QueueOptions, WorkerOptions

CLIENT = "com.example.client"
TASK = "com.example.task"


def remembering(seen, trouble=None):
    """A step that adds the number of its event to the state of its subject."""

    async def step(event, memory):
        number = event.data["number"]
        if trouble is not None:
            await trouble(number)
        state = await memory.read(event.subject)
        numbers = [*(state["numbers"] if state else []), number]
        metadata = MemoryMetadata(event.subject, None, CLIENT, TASK)
        await memory.write(event.subject, {"numbers": numbers}, state, metadata)
        seen.append((event.subject, number))
        return []

    return step


def states(ask):
    return dict(ask("SELECT subject, data -> 'numbers' FROM arvo.state"))


@pytest.mark.parametrize("brokers", [1, 2])
async def test_each_subject_is_worked_through_in_order(
    broker_on, event, stateful_recorder, until, ask, worker_options, brokers
):
    seen = []
    started = [await broker_on(name=f"w{n}") for n in range(brokers)]
    await started[0].dispatch_many([event(TASK, subject=f"s{n % 3}", number=n) for n in range(60)])
    for broker in started:
        await broker.register(
            stateful_recorder(TASK, remembering(seen)), worker_options(concurrency=5)
        )
    await until(lambda: sum(map(len, states(ask).values())) == 60)
    assert states(ask) == {f"s{n}": list(range(n, 60, 3)) for n in range(3)}
    assert len(seen) == 60
    # Runs of a key came together, each step from the state of the one before: nothing ran in vain.
    assert ask("SELECT count(*) > 0 FROM arvo.lease WHERE cardinality(deliveries) > 3") == [(True,)]
    outcomes = ask("SELECT DISTINCT unnest(outcomes) FROM arvo.closure")
    assert outcomes == [("completed",)]


async def test_what_follows_a_failed_one_waits_for_it(broker, event, stateful_recorder, until, ask):
    seen, failed = [], set()

    async def trouble(number):
        if number % 4 == 1 and number not in failed:
            failed.add(number)
            raise RuntimeError("the first time")

    await broker.dispatch_many([event(TASK, subject="s", number=n) for n in range(12)])
    options = HandlerOptions(worker=WorkerOptions(concurrency=8, retry_delay=0.1))
    await broker.register(stateful_recorder(TASK, remembering(seen, trouble)), options)
    await until(lambda: states(ask) == {"s": list(range(12))})
    assert [number for _, number in seen] == list(range(12))
    assert failed == {1, 5, 9}


async def test_a_dead_one_lets_the_others_pass(broker, event, stateful_recorder, until, ask):
    seen = []

    async def trouble(number):
        if number == 2:
            raise RuntimeError("always")

    await broker.dispatch_many([event(TASK, subject="s", number=n) for n in range(5)])
    options = HandlerOptions(worker=WorkerOptions(concurrency=8, retry_limit=1))
    await broker.register(stateful_recorder(TASK, remembering(seen, trouble)), options)
    await until(lambda: states(ask) == {"s": [0, 1, 3, 4]})
    assert ask("SELECT attempts, reason FROM arvo.dead") == [(2, "failed")]


async def test_a_stopped_worker_gives_the_rest_of_a_run_back(
    broker_on, event, stateful_recorder, until, ask
):
    seen, gate = [], asyncio.Event()

    async def trouble(number):
        if number == 2:
            await gate.wait()

    first, second = await broker_on(name="first"), await broker_on(name="second")
    await first.dispatch_many([event(TASK, subject="s", number=n) for n in range(6)])
    options = HandlerOptions(worker=WorkerOptions(concurrency=8))
    await first.register(stateful_recorder(TASK, remembering(seen, trouble)), options)
    await until(lambda: states(ask) == {"s": [0, 1]})
    await first.stop(timeout=0.1)
    assert len(seen) == 2
    gate.set()
    await second.register(stateful_recorder(TASK, remembering(seen, trouble)), options)
    await until(lambda: states(ask) == {"s": list(range(6))})
    assert ask("SELECT count(*) FROM arvo.log WHERE attempt > 1") == [(0,)]


async def test_a_key_from_the_data(broker, event, recorder, until):
    started, order = set(), []

    async def act(given):
        key = given.data["customer"]
        assert key not in started, "two of one key at once"
        started.add(key)
        await asyncio.sleep(0)
        started.discard(key)
        order.append((key, given.data["number"]))
        return []

    options = HandlerOptions(
        queue=QueueOptions(policy="ordered", key_from="data.customer"),
        worker=WorkerOptions(concurrency=10),
    )
    await broker.register(recorder(TASK, act), options)
    await broker.dispatch_many(
        [event(TASK, subject=f"s{n}", data={"customer": n % 4, "number": n}) for n in range(40)]
    )
    await until(lambda: len(order) == 40)
    for key in range(4):
        assert [number for k, number in order if k == key] == list(range(key, 40, 4))


async def test_an_exact_limit_over_two_workers(broker_on, event, recorder, until):
    running, most, done = set(), [0], []

    async def act(given):
        running.add(given.id)
        most[0] = max(most[0], len(running))
        await asyncio.sleep(0.01)
        running.discard(given.id)
        done.append(given.id)
        return []

    options = HandlerOptions(queue=QueueOptions(max_active=3), worker=WorkerOptions(concurrency=10))
    brokers = [await broker_on(name=f"w{n}") for n in range(2)]
    for broker in brokers:
        await broker.register(recorder(TASK, act), options)
    await brokers[0].dispatch_many([event(TASK, number=n) for n in range(40)])
    await until(lambda: len(done) == 40)
    assert most[0] == 3
