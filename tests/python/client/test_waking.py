"""Sleeping workers are woken, at once or when a late transaction ends; they poll once an hour."""

import asyncio
import json
import random

import psycopg
import pytest

TASK = "com.example.task"
RARELY = 3600
ASLEEP = (
    "SELECT DISTINCT pid FROM pg_locks"
    " INNER JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND classid = hashtext('arvo_wake')::oid AND mode = 'ShareLock'"
    " AND application_name = 'arvo-wakeup' AND datname = current_database()"
)
VIGIL = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE application_name = 'arvo-vigil' AND datname = current_database()"
    " AND query LIKE '%%still_open%%' AND wait_event = 'PgSleep'"
)
LOOKED = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name = 'arvo-worker' AND datname = current_database()"
    " AND state = 'idle' AND query_start > %s"
)
DISPATCH = "SELECT arvo_v1.dispatch(%s::jsonb)"


@pytest.fixture
def rarely(worker_options):
    """Options of a worker that polls once an hour."""
    return worker_options(polling_interval_seconds=RARELY)


@pytest.fixture
async def producers(dsn):
    """Three connections in autocommit."""
    connections = [await psycopg.AsyncConnection.connect(dsn, autocommit=True) for _ in range(3)]
    yield connections
    for connection in connections:
        await connection.close()


def flat(event):
    return json.dumps(event.to_dict())


async def dispatch_late(connection, event, seconds):
    async with connection.transaction():
        await connection.execute(DISPATCH, [flat(event)])
        await asyncio.sleep(seconds)  # the transaction is open for so long


@pytest.mark.parametrize("workers", [1, 2])
async def test_whenever_an_event_is_committed_somebody_wakes(
    broker_on, event, recorder, until, rarely, producers, workers
):
    seen = set()

    async def note(asked):
        seen.add(asked.data["number"])
        return []

    for _ in range(workers):
        await (await broker_on()).register(recorder(TASK, note), rarely)
    chance = random.Random(4711)
    number = 0
    for _ in range(250):
        # Nothing comes after these that would wake a worker which had missed them.
        most = chance.choice([1, 1, 3])
        awaited = set(range(number, number + most))
        await asyncio.gather(
            *(
                dispatch_late(
                    connection, event(TASK, number=n), chance.choice([0, chance.uniform(0, 0.02)])
                )
                for connection, n in zip(producers, awaited, strict=False)
            )
        )
        number += most
        await until(lambda: awaited <= seen)  # noqa: B023
        await asyncio.sleep(chance.choice([0, chance.uniform(0, 0.004), chance.uniform(0, 0.02)]))


@pytest.mark.parametrize("way", ["commits", "is prepared"])
async def test_a_transaction_that_looked_before_and_ends_later_is_noticed(
    broker_on, event, recorder, until, ask, rarely, producers, way
):
    ask("SELECT (arvo_v1.register_queue(%s)).change", TASK)
    late, other, _ = producers
    await late.execute("BEGIN")
    await late.execute(DISPATCH, [flat(event(TASK, number=1))])
    if way == "is prepared":
        await late.execute("PREPARE TRANSACTION 'late'")
    handler = recorder(TASK)
    await (await broker_on()).register(handler, rarely)
    await until(lambda: ask(ASLEEP))
    await other.execute(DISPATCH, [flat(event(TASK, number=2))])
    await until(lambda: len(handler.seen) == 1)
    await until(lambda: ask(ASLEEP))
    await late.execute("COMMIT PREPARED 'late'" if way == "is prepared" else "COMMIT")
    await until(lambda: len(handler.seen) == 2)
    assert [seen.data["number"] for seen in handler.seen] == [2, 1]


@pytest.mark.parametrize("cut", [False, True], ids=["kept", "cut"])
async def test_a_transaction_that_stays_open_for_long_is_watched_by_the_server(
    broker_on, event, recorder, until, ask, rarely, producers, monkeypatch, cut
):
    monkeypatch.setattr("arvo_plpg.runtime.gate._VIGIL_AFTER_SECONDS", 0.1)
    ask("SELECT (arvo_v1.register_queue(%s)).change", TASK)
    late, *_ = producers
    await late.execute("BEGIN")
    await late.execute(DISPATCH, [flat(event(TASK, number=1))])
    handler = recorder(TASK)
    await (await broker_on()).register(handler, rarely)
    ((pid,),) = await until(lambda: ask(VIGIL))
    if cut:
        ask("SELECT pg_terminate_backend(%s)", pid)
        await until(lambda: ask(VIGIL) not in ([], [(pid,)]))
    await late.execute("COMMIT")
    await until(lambda: handler.seen)
    await until(lambda: not ask(VIGIL))


async def test_a_session_that_was_cut_while_asleep_registers_again(
    broker, event, recorder, until, ask, rarely
):
    handler = recorder(TASK)
    await broker.register(handler, rarely)
    for number in range(3):
        ((pid,),) = await until(lambda: ask(ASLEEP))
        ask("SELECT pg_terminate_backend(%s)", pid)
        await until(lambda: ask(ASLEEP) not in ([], [(pid,)]))  # noqa: B023
        await broker.dispatch(event(TASK, number=number))
        await until(lambda: len(handler.seen) == number + 1)  # noqa: B023


async def test_who_has_no_free_slot_is_not_asleep(
    broker, event, recorder, until, ask, worker_options
):
    gate = asyncio.Event()

    async def wait(_):
        await gate.wait()
        return []

    handler = recorder(TASK, wait)
    await broker.register(handler, worker_options(concurrency=1, polling_interval_seconds=RARELY))
    await until(lambda: ask(ASLEEP))
    await broker.dispatch_many([event(TASK, number=n) for n in range(2)])
    await until(lambda: handler.seen and not ask(ASLEEP))
    gate.set()
    await until(lambda: len(handler.seen) == 2)
    await until(lambda: ask(ASLEEP))


async def test_a_worker_of_very_many_queues_is_woken_for_each(
    broker, event, recorder, until, ask, rarely
):
    handlers = [recorder(f"{TASK}.{n}") for n in range(40)]
    for handler in handlers:
        await broker.register(handler, rarely)
    await until(lambda: ask(ASLEEP))
    for handler in handlers[::13]:
        await broker.dispatch(event(handler.source))
        await until(lambda: handler.seen)  # noqa: B023


async def test_a_queue_that_is_added_later_wakes_too(broker, event, recorder, until, ask, rarely):
    first, second = recorder(TASK), recorder("com.example.later,(x)")
    await broker.register(first, rarely)
    await until(lambda: ask(ASLEEP))
    await broker.register(second, rarely)
    for handler in (second, first):
        await until(
            lambda: ask(
                ASLEEP + " AND objid = hashtext(%s)::oid",
                handler.source,  # noqa: B023
            )
        )
        await broker.dispatch(event(handler.source))
        await until(lambda: handler.seen)  # noqa: B023


async def test_who_waits_for_domained_events_is_woken(broker, event, until, ask, rarely):
    seen = []
    broker.on_domained_event(seen.append, rarely)
    await until(lambda: ask(ASLEEP))
    await broker.dispatch(event(TASK, domain="approval"))
    await until(lambda: seen)


async def test_who_has_emitted_to_somebody_else_while_another_runs_can_be_woken(
    broker, event, recorder, until, ask, worker_options
):
    """Between the long one and the next, nothing ends here that would make it look."""
    over = asyncio.Event()

    async def work(asked):
        if asked.data["number"] == 0:
            await over.wait()
        return [event("com.example.elsewhere")] if asked.data["number"] == 1 else []

    ask("SELECT (arvo_v1.register_queue(%s)).change", "com.example.elsewhere")
    handler = recorder(TASK, work)
    options = worker_options(polling_interval_seconds=RARELY, concurrency=2)
    await broker.register(handler, options)
    for number in range(4):
        await until(lambda: ask(ASLEEP) or len(handler.seen) == number)  # noqa: B023
        await broker.dispatch(event(TASK, number=number))
        await until(lambda: len(handler.seen) == number + 1, seconds=5)  # noqa: B023
        if number == 1:
            await until(
                lambda: (
                    ask(
                        "SELECT queued_count FROM arvo_v1.queue_stats()"
                        " WHERE name = 'com.example.elsewhere'"
                    )
                    == [(1,)]
                )
            )
            await until(lambda: ask(ASLEEP), seconds=5)
    over.set()


@pytest.mark.parametrize("policy", ["standard", "ordered"])
async def test_who_finds_a_lane_in_use_looks_again(
    broker_on, event, recorder, until, ask, rarely, producers, policy
):
    """The other may be full with what it takes, and nobody wakes the first for the rest."""
    ask("SELECT (arvo_v1.register_queue(%s, p_policy => %s)).change", TASK, policy)
    handler = recorder(TASK)
    await (await broker_on()).register(handler, rarely)
    await until(lambda: ask(ASLEEP))
    other, producer, _ = producers
    async with other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(hashtext('arvo'), lane) FROM arvo.lane")
        ((then,),) = ask("SELECT clock_timestamp()")
        await producer.execute(DISPATCH, [flat(event(TASK, number=1))])
        await until(lambda: ask(LOOKED, then) == [(1,)])
        assert not handler.seen
    await until(lambda: handler.seen, seconds=5)


@pytest.fixture
async def flood(ask, event, producers):
    """Dispatch to a queue that is paused, on and on."""
    ask("SELECT (arvo_v1.register_queue(%s)).change", TASK)
    ask("SELECT count(*) FROM arvo_v1.pause_queue(%s)", TASK)

    async def pour(connection):
        while True:
            await connection.execute(DISPATCH, [flat(event(TASK))])

    pouring = [asyncio.create_task(pour(connection)) for connection in producers[:2]]
    yield pouring
    for task in pouring:
        task.cancel()
    await asyncio.gather(*pouring, return_exceptions=True)


@pytest.mark.parametrize("workers", [1, 2])
async def test_who_is_woken_for_nothing_again_and_again_stays_awake(
    broker_on, event, recorder, until, ask, rarely, flood, workers
):
    handlers = [recorder(TASK) for _ in range(workers)]
    for handler in handlers:
        await (await broker_on()).register(handler, rarely)

    def seen():
        return [one.data["number"] for handler in handlers for one in handler.seen]

    await until(lambda: ask(ASLEEP))
    await until(lambda: not ask(ASLEEP))
    for task in flood:
        task.cancel()
    assert not seen()
    ask("SELECT count(*) FROM arvo_v1.resume_queue(%s)", TASK)
    await until(seen, seconds=5)
    waiting = "SELECT coalesce(sum(queued_count), 0) FROM arvo_v1.queue_stats()"
    await until(lambda: ask(waiting) == [(0,)], seconds=60)
    await until(lambda: len(ask(ASLEEP)) == workers)
    ask(DISPATCH, flat(event(TASK, number=1)))
    await until(lambda: 1 in seen(), seconds=5)


async def test_whatever_wakes_it_for_nothing_its_other_queues_are_served(
    broker, event, recorder, until, ask, rarely, producers, flood
):
    await broker.register(recorder(TASK), rarely)
    other = recorder("com.example.other")
    await broker.register(other, rarely)
    chance = random.Random(4712)
    for number in range(100):
        await dispatch_late(
            producers[2], event(other.source, number=number), chance.choice([0, 0.01])
        )
        await until(lambda: len(other.seen) == number + 1, seconds=5)  # noqa: B023
        await asyncio.sleep(chance.choice([0, chance.uniform(0, 0.004), chance.uniform(0, 0.05)]))
