"""Through PgBouncer in transaction mode everything works; who listens goes past it."""

import asyncio

import debian
import pgbouncer
import pytest

from arvo_plpg import (
    LockConfig,
    MemoryConfig,
    MemoryMetadata,
    connect_postgres_machine_memory,
    release_postgres_machine_memory,
)

TASK = "com.example.task"
NO_STATEMENTS = "max_prepared_statements = 0"
WAYS = {
    "1.18": ("1.18", "", {"prepare_threshold": None}),
    "1.24": ("1.24", "", {"prepare_threshold": 0}),
    "1.24-without-statements": ("1.24", NO_STATEMENTS, {"prepare_threshold": None}),
}
LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'arvo-wakeup'"
DOZING = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    " AND classid = hashtext('arvo_wake')::oid AND mode = 'ShareLock'"
)


@pytest.fixture(scope="module", params=WAYS)
def passage(request, server):
    """A PgBouncer of each kind, and the options that go with it."""
    version, settings, options = WAYS[request.param]
    try:
        with pgbouncer.start(version, server.dsn, settings) as running:
            assert running.version.startswith(version)
            yield running, options
    except debian.UnobtainableError as reason:
        pytest.skip(str(reason))


async def test_handlers_work_through_it_and_are_woken_past_it(
    passage, dsn, broker_on, event, recorder, until, worker_options, ask
):
    pooler, options = passage
    workers = [
        await broker_on(pooler.dsn(dsn), listen_dsn=dsn, pool_size=4, **options) for _ in range(2)
    ]
    seen = recorder()
    for worker in workers:
        await worker.register(
            seen, worker_options(concurrency=4, polling_interval_seconds=3600, prefetch=0)
        )
    await until(lambda: ask(DOZING)[0][0] >= 2)
    many = [event(number=number) for number in range(60)]
    async with asyncio.TaskGroup() as group:
        for number, one in enumerate(many):
            group.create_task(workers[number % 2].dispatch(one))
    await until(lambda: len(seen.seen) >= len(many))
    alone = event(number=60)
    await until(lambda: ask(DOZING)[0][0] >= 2)
    await workers[0].dispatch(alone)
    await until(lambda: len(seen.seen) > len(many))
    assert sorted(one.data["number"] for one in seen.seen) == list(range(61))
    await until(lambda: ask("SELECT sum(cardinality(deliveries)) FROM arvo.closure")[0][0] == 61)


async def test_leases_are_kept_through_it(passage, dsn, broker_on, event, recorder, until, story):
    pooler, options = passage
    broker = await broker_on(pooler.dsn(dsn), listen_dsn=dsn, lease_seconds=1, **options)

    async def think(_):
        await asyncio.sleep(2.5)
        return []

    slow = recorder(action=think)
    await broker.register(slow)
    await broker.dispatch(one := event())
    await until(lambda: [outcome for _, _, outcome in story(one)] == ["completed"])
    assert len(slow.seen) == 1


async def test_without_a_way_past_it_nobody_listens_and_polling_does(
    passage, dsn, broker_on, event, recorder, until, worker_options, ask, log
):
    pooler, options = passage
    broker = await broker_on(pooler.dsn(dsn), **options)
    seen = recorder()
    await broker.register(seen, worker_options(polling_interval_seconds=0.5))
    await until(lambda: "give a direct connection as listen_dsn" in log.text)
    for number in range(3):
        await broker.dispatch(event(number=number))
        await until(lambda number=number: len(seen.seen) > number)
    assert ask(DOZING) == [(0,)]
    assert log.text.count("behind a pooler") == 1


async def test_memory_works_through_it(passage, dsn):
    pooler, options = passage
    patient = LockConfig(max_retries=1000, initial_delay_ms=5, backoff_exponent=1)
    options = options | {"statement_timeout_millis": 0, "lock_config": patient}
    config = MemoryConfig(connection_string=pooler.dsn(dsn), **options)
    memory = await connect_postgres_machine_memory(config=config)
    about = MemoryMetadata("flow", None, "com.example.client", "arvo.orc.example.flow")

    async def count_up():
        assert await memory.lock("flow")
        state = await memory.read("flow")
        await memory.write("flow", {"n": (state or {"n": 0})["n"] + 1}, state, about)
        await memory.unlock("flow")

    try:
        await asyncio.gather(*(count_up() for _ in range(10)))
        assert await memory.read("flow") == {"n": 10}
    finally:
        await release_postgres_machine_memory(memory)


async def test_a_direct_connection_is_known_as_such(broker_on, dsn, ask, until, recorder, log):
    broker = await broker_on(dsn)
    await broker.register(recorder())
    await until(lambda: ask(DOZING)[0][0] > 0)
    assert ask(LISTENERS)[0][0] >= 1
    assert "pooler" not in log.text
