"""Connections are cut while events flow: everything completes, once in effect."""

import asyncio
import os
import signal

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from arvo_plpg import MemoryMetadata, PostgresEventBroker, embedded
from arvo_plpg.schema import migrate

FLOW, CLIENT = "com.example.flow", "com.example.client"
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"


def counting(event):
    async def step(asked, memory):
        state = await memory.read(asked.subject)
        seen = [*(state["seen"] if state else []), asked.data["number"]]
        metadata = MemoryMetadata(asked.subject, None, CLIENT, FLOW)
        await memory.write(asked.subject, {"seen": seen}, state, metadata)
        return [event(to=CLIENT, subject=asked.subject, number=asked.data["number"])]

    return step


@pytest.mark.parametrize("who", ["arvo-worker", "arvo-wakeup", "arvo-heartbeat", "arvo"])
async def test_each_connection_may_be_cut_again_and_again(
    broker_on, event, stateful_recorder, until, ask, worker_options, who
):
    broker = await broker_on(lease_seconds=2)
    reported = []
    await broker.register(
        stateful_recorder(FLOW, counting(event)), worker_options(concurrency=5, retry_limit=0)
    )
    await broker.on_workflow_complete(
        source=CLIENT, listener=lambda found: reported.append(found.data["number"])
    )
    cuts = 0
    for number in range(60):
        await dispatch(broker, event(to=FLOW, subject=f"s{number % 4}", number=number))
        if number % 10 == 5:
            if who == "arvo-heartbeat":  # there is one only while something runs
                ask(CUT, who)
            else:
                cuts += len(await until(lambda: ask(CUT, who)))
    await until(lambda: len(reported) >= 60, seconds=60)
    await until(lambda: settled(ask))
    assert who == "arvo-heartbeat" or cuts >= 6
    assert sorted(reported) == list(range(60))
    states = ask("SELECT version, data FROM arvo.state ORDER BY subject")
    assert sorted(n for _, data in states for n in data["seen"]) == list(range(60))
    assert all(version == len(data["seen"]) for version, data in states)
    assert ask("SELECT count(*) FROM arvo.dead") == [(0,)]


async def dispatch(broker, event):
    """As a careful client: what was refused by a dying connection is dispatched again."""
    while True:
        try:
            return await broker.dispatch(event)
        except psycopg.OperationalError:
            continue


def settled(ask):
    return ask(
        "SELECT count(*) FROM arvo_v1.queue_stats()"
        " WHERE queued_count + active_count + deferred_count > 0"
    ) == [(0,)]


async def test_the_heartbeat_comes_back(broker_on, event, recorder, until, ask):
    broker = await broker_on(lease_seconds=1)
    beats = "SELECT count(*) FROM arvo.lease WHERE carried"

    async def work(_):
        for cut in range(1, 4):
            await until(lambda: ask(CUT, "arvo-heartbeat"))
            (had,) = ask(beats)[0]
            await until(lambda: ask(beats)[0][0] > had)  # noqa: B023
            assert cut
        return []

    handler = recorder(action=work)
    await broker.register(handler)
    await broker.dispatch(event())
    await until(lambda: settled(ask) and handler.seen)
    assert ask("SELECT max(attempt) FROM arvo.log") == [(1,)]


async def test_results_are_kept_while_the_worker_cannot_connect(
    broker_on, event, recorder, until, ask, dsn, story, log
):
    """The step ends while nobody may connect; it is settled later, under the same lease."""
    broker = await broker_on(lease_seconds=60)
    gate = asyncio.Event()

    async def wait(_):
        await gate.wait()
        return []

    handler = recorder(action=wait)
    await broker.register(handler)
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: handler.seen)
    name = conninfo_to_dict(dsn)["dbname"]
    forbid = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    with psycopg.connect(dsn, dbname="postgres", autocommit=True) as admin:
        admin.execute(forbid.format(sql.Identifier(name), sql.SQL("false")))
        ask(CUT, "arvo-worker")
        gate.set()
        await until(lambda: "1 results are kept" in log.text)
        admin.execute(forbid.format(sql.Identifier(name), sql.SQL("true")))
    await until(lambda: story(asked) == [(handler.source, 1, "completed")])
    assert len(handler.seen) == 1


async def test_stop_does_not_wait_for_a_database_that_is_gone(
    broker_on, event, recorder, until, ask, dsn, log, monkeypatch
):
    monkeypatch.setattr("arvo_plpg.runtime.worker._SETTLE_SECONDS", 0.5)
    broker = await broker_on()
    gate = asyncio.Event()

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
        ask(CUT, "arvo-worker")
        gate.set()
        async with asyncio.timeout(10):
            await broker.stop()
        admin.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(name))
    assert "stopped without settling 1 results" in log.text


async def test_the_server_crashes_and_comes_back(event, stateful_recorder, until, worker_options):
    """A killed backend makes the server throw everybody out and recover from its log."""
    with embedded.start(options=("synchronous_commit=on",)) as server:
        migrate(server.uri)
        reported = []
        async with PostgresEventBroker(server.uri, lease_seconds=2) as broker:
            await broker.on_workflow_complete(
                source=CLIENT, listener=lambda found: reported.append(found.data["number"])
            )
            await broker.dispatch_many(
                [event(to=FLOW, subject=f"s{n % 5}", number=n) for n in range(200)]
            )
            await broker.register(
                stateful_recorder(FLOW, counting(event)), worker_options(concurrency=5)
            )
            await until(lambda: len(reported) > 20)
            with psycopg.connect(server.uri, autocommit=True) as victim:
                os.kill(victim.info.backend_pid, signal.SIGKILL)
                crashed_at = len(reported)
            await until(lambda: len(set(reported)) == 200, seconds=60)
            async with broker.connection() as contract:
                assert await contract.dead_letters() == []
        assert crashed_at < 200
        with psycopg.connect(server.uri, autocommit=True) as connection:
            states = connection.execute("SELECT version, data FROM arvo.state").fetchall()
            assert settled(lambda query: connection.execute(query).fetchall())
        assert [version for version, _ in states] == [40] * 5
        assert sorted(n for _, data in states for n in data["seen"]) == list(range(200))
