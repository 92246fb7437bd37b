"""What a worker claims ahead: bounded, adapted to its handlers, and never kept from others."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from arvo_plpg import HandlerOptions, QueueOptions, WorkerOptions

TASK = "com.example.task"
OTHER = "com.example.other"
LARGEST = "SELECT coalesce(max(cardinality(deliveries)), 0) FROM arvo.lease"
ATTEMPTS = "SELECT max(attempt) FROM arvo.log"
OUTCOMES = "SELECT DISTINCT unnest(outcomes) AS outcome FROM arvo.closure ORDER BY outcome"


def idle(ask):
    return ask(
        "SELECT count(*) FROM arvo_v1.queue_stats()"
        " WHERE queued_count + active_count + deferred_count > 0"
    ) == [(0,)]


def numbers(handler):
    return [found.data["number"] for found in handler.seen]


@pytest.mark.parametrize(("prefetch", "most"), [(0, 2), (5, 7), (None, 502)])
async def test_no_claim_takes_more_than_may_run_and_wait(
    broker, event, recorder, until, ask, worker_options, prefetch, most
):
    handler, count = recorder(TASK), 1500 if prefetch is None else 150
    await broker.dispatch_many([event(TASK, number=n) for n in range(count)])
    await broker.register(handler, worker_options(concurrency=2, prefetch=prefetch))
    await until(lambda: idle(ask))
    ((largest,),) = ask(LARGEST)
    assert 2 <= largest <= most
    assert sorted(numbers(handler)) == list(range(count))
    if prefetch != 0:
        assert largest > 2
        assert numbers(handler) == list(range(count))
    ((first,),) = ask("SELECT cardinality(deliveries) FROM arvo.lease WHERE token <> 0"
                      " ORDER BY leased_at, token LIMIT 1")  # fmt: skip
    assert first == 2, "nothing is known of the handler yet"


async def test_slow_handlers_have_nothing_claimed_ahead(
    broker, event, recorder, until, ask, worker_options
):
    async def work(_):
        await asyncio.sleep(0.06)
        return []

    await broker.dispatch_many([event(TASK, number=n) for n in range(12)])
    await broker.register(recorder(TASK, work), worker_options(concurrency=2))
    await until(lambda: idle(ask))
    assert ask(LARGEST) == [(2,)]


@pytest.mark.parametrize("stored", [False, True])
async def test_deliveries_with_a_single_attempt_are_not_claimed_ahead(
    broker, event, recorder, until, ask, worker_options, stored
):
    """If the process dies, it is used up."""
    if stored:
        async with broker.connection() as contract:
            await contract.register_queue(TASK, retry_limit=0)
    await broker.dispatch_many([event(TASK, number=n) for n in range(200)])
    options = worker_options(concurrency=2, retry_limit=None if stored else 0)
    await broker.register(recorder(TASK), options)
    await until(lambda: idle(ask))
    assert ask(LARGEST) == [(2,)]


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_never_more_run_than_may(
    broker, event, recorder, until, ask, worker_options, concurrency
):
    running, most = set(), [0]

    async def work(asked):
        running.add(asked.id)
        most[0] = max(most[0], len(running))
        for _ in range(asked.data["number"] % 4):
            await asyncio.sleep(0)
        running.discard(asked.id)
        return []

    handler = recorder(TASK, work)
    await broker.dispatch_many([event(TASK, number=n) for n in range(1000)])
    await broker.register(handler, worker_options(concurrency=concurrency))
    await until(lambda: idle(ask))
    assert len(handler.seen) == 1000
    assert most[0] == concurrency
    assert ask(LARGEST)[0][0] > concurrency


def stuck_at(number, gate):
    async def work(asked):
        if asked.data["number"] == number:
            await gate.wait()
        return []

    return work


async def test_what_is_buffered_at_stop_goes_back_uncharged(
    broker_on, event, recorder, until, ask, worker_options
):
    gate = asyncio.Event()
    first, second = await broker_on(name="first"), await broker_on(name="second")
    mine, theirs = recorder(TASK, stuck_at(300, gate)), recorder(TASK)
    await first.dispatch_many([event(TASK, number=n) for n in range(600)])
    await first.register(mine, worker_options(concurrency=1))
    await until(lambda: len(mine.seen) == 301)
    stopping = asyncio.create_task(first.stop())
    await until(lambda: ask("SELECT count(*) FROM arvo_v1.queue_stats() WHERE active_count = 1")
                == [(1,)])  # fmt: skip
    assert len(mine.seen) == 301, "it waits for the one that runs, and begins no other"
    gate.set()
    await stopping
    assert ask("SELECT queued_count, active_count FROM arvo_v1.queue_stats()") == [(299, 0)]
    assert ask(OUTCOMES) == [("completed",), ("released",)]
    await second.register(theirs)
    await until(lambda: idle(ask))
    assert sorted(numbers(mine) + numbers(theirs)) == list(range(600))
    assert ask(ATTEMPTS) == [(1,)]


async def test_what_waits_behind_a_handler_that_turned_slow_is_left_to_others(
    broker_on, event, recorder, until, ask, worker_options
):
    gate = asyncio.Event()
    first, second = await broker_on(name="first"), await broker_on(name="second")
    mine, theirs = recorder(TASK, stuck_at(300, gate)), recorder(TASK)
    await first.dispatch_many([event(TASK, number=n) for n in range(600)])
    await first.register(mine, worker_options(concurrency=1))
    await until(lambda: len(mine.seen) == 301)
    await second.register(theirs)
    await until(lambda: len(theirs.seen) == 299)
    assert sorted(numbers(theirs)) == list(range(301, 600))
    gate.set()
    await until(lambda: idle(ask))
    assert ask(ATTEMPTS) == [(1,)]
    assert ("released",) in ask(OUTCOMES)


async def test_lines_of_ordered_keys_that_go_back_keep_their_order(
    broker_on, event, recorder, until, ask
):
    gate, order = asyncio.Event(), []

    async def work(asked):
        order.append((asked.subject, asked.data["number"]))
        if asked.data["number"] == 200:
            await gate.wait()
        return []

    options = HandlerOptions(
        queue=QueueOptions(policy="ordered"), worker=WorkerOptions(concurrency=1)
    )
    brokers = [await broker_on(name=f"w{n}") for n in range(2)]
    await brokers[0].dispatch_many([event(TASK, subject=f"s{n % 7}", number=n) for n in range(400)])
    await brokers[0].register(recorder(TASK, work), options)
    await until(lambda: order and order[-1][1] == 200)
    await brokers[1].register(recorder(TASK, work), options)
    elsewhere = [n for n in range(400) if n % 7 != 200 % 7]
    await until(lambda: {n for _, n in order} >= set(elsewhere))
    gate.set()
    await until(lambda: idle(ask))
    for key in range(7):
        assert [n for subject, n in order if subject == f"s{key}"] == list(range(key, 400, 7))
    assert ask(ATTEMPTS) == [(1,)]


async def test_a_busy_queue_does_not_starve_another(
    broker, event, recorder, until, ask, worker_options
):
    busy, quiet, passed = recorder(TASK), recorder(OTHER), []

    async def work(_):
        if len(quiet.seen) == 50:
            passed.append(len(busy.seen))
        return []

    quiet._action = work
    await broker.dispatch_many([event(TASK, number=n) for n in range(4000)])
    await broker.dispatch_many([event(OTHER, number=n) for n in range(50)])
    await broker.register(busy, worker_options(concurrency=10))
    await broker.register(quiet, worker_options(concurrency=1))
    await until(lambda: idle(ask), 60)
    assert (len(busy.seen), len(quiet.seen)) == (4000, 50)
    assert passed[0] < 4000, "the fifty had their turn among the thousands"


async def test_a_lost_lease_takes_its_buffered_deliveries_along(
    broker_on, event, recorder, until, ask, worker_options, story
):
    """An operator cancels all that the worker holds: what it has not begun does not begin."""
    gate = asyncio.Event()
    broker = await broker_on(lease_seconds=1)
    handler = recorder(TASK, stuck_at(300, gate))
    await broker.register(handler, worker_options(concurrency=1))
    asked = [event(TASK, number=n) for n in range(400)]
    answers = await broker.dispatch_many(asked)
    await until(lambda: len(handler.seen) == 301)
    async with broker.connection() as contract:
        await contract.cancel(
            [answer.delivery for answer in answers[300:]], include_running=True, reason="x"
        )
    await until(lambda: idle(ask))
    assert len(handler.seen) == 301
    assert [step[2] for step in story(asked[300])][-1] == "cancelled"
    assert [step[2] for step in story(asked[350])][-1] == "cancelled"


DIES = """
import asyncio, os, signal, sys
from arvo_plpg import HandlerOptions, PostgresEventBroker, WorkerOptions

class Task:
    source = "com.example.task"
    async def execute(self, event):
        if event.data["number"] == 300:
            os.kill(os.getpid(), signal.SIGKILL)
        return []

async def main():
    broker = PostgresEventBroker(sys.argv[1], lease_seconds=1, name="victim")
    await broker.start()
    await broker.register(Task(), HandlerOptions(worker=WorkerOptions(concurrency=2)))
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_a_killed_process_had_buffered_runs_elsewhere(
    broker_on, event, recorder, until, ask, dsn
):
    broker = await broker_on(lease_seconds=1, name="survivor")
    await broker.dispatch_many([event(TASK, number=n) for n in range(600)])
    victim = subprocess.Popen([sys.executable, "-c", DIES, dsn])  # noqa: ASYNC220
    try:
        await until(lambda: victim.poll() is not None)
    finally:
        victim.kill()
        victim.wait()
    assert victim.returncode == -signal.SIGKILL, os.getpid()
    handler = recorder(TASK)
    await broker.register(handler)
    await until(lambda: idle(ask))
    completed = (
        "SELECT count(*), count(DISTINCT delivery) FROM arvo.closure"
        " CROSS JOIN LATERAL unnest(deliveries, CASE WHEN cardinality(outcomes) = 1"
        " THEN array_fill(outcomes[1], ARRAY[cardinality(deliveries)]) ELSE outcomes END)"
        " AS done (delivery, outcome) WHERE outcome = 'completed'"
    )
    assert ask(completed) == [(600, 600)]
    assert ask("SELECT count(*) FROM arvo.dead") == [(0,)]
    assert set(numbers(handler)) >= set(range(300, 600))
    assert ask(ATTEMPTS) == [(2,)]
