"""The worker's connection: long answers in small steps, and what goes wrong, as psycopg has it."""

import asyncio

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import scalar_row

from arvo_plpg.runtime.line import Line

LONG = "SELECT repeat('x', 1000) || g FROM generate_series(1, 3000) AS g"


@pytest.fixture
async def line(dsn):
    async with await Line.connect(dsn, autocommit=True, row_factory=scalar_row) as connection:
        yield connection


async def value(connection, query, *given):
    cursor = await connection.execute(query, given)
    return await cursor.fetchone()


async def test_a_long_answer_is_read_whole_by_one_registration(line, monkeypatch):
    loop = asyncio.get_running_loop()
    registered, add = [], loop.add_reader

    def counted(*given):
        registered.append(given)
        return add(*given)

    monkeypatch.setattr(loop, "add_reader", counted)
    cursor = await line.execute(LONG)
    assert await cursor.fetchall() == ["x" * 1000 + str(number) for number in range(1, 3001)]
    assert len(registered) == 1
    assert await value(line, "SELECT 1") == 1
    assert len(registered) == 2
    assert not loop.remove_reader(line.fileno())


async def test_others_run_while_it_waits(line):
    waiting = asyncio.create_task(value(line, "SELECT pg_advisory_lock_shared(7)::text"))
    await waiting
    async with await psycopg.AsyncConnection.connect(line.info.dsn, autocommit=True) as other:
        blocked = asyncio.create_task(other.execute("SELECT pg_advisory_lock(7)"))
        while not await value(line, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not blocked.done()
        await value(line, "SELECT pg_advisory_unlock_shared(7)")
        await blocked


async def test_an_error_is_of_whoever_asked(line):
    with pytest.raises(psycopg.errors.DivisionByZero):
        await line.execute(
            "SELECT 1 / (3000 - g), repeat('x', 1000) FROM generate_series(1, 3000) g"
        )
    assert await value(line, "SELECT 2") == 2


async def test_a_long_question_is_sent_whole(line):
    assert await value(line, "SELECT length(%s::text)", "x" * 20_000_000) == 20_000_000


async def test_what_is_in_a_pipeline_is_answered(line):
    async with line.pipeline():
        cursors = [await line.execute("SELECT %s::int", (number,)) for number in range(100)]
        assert [await cursor.fetchone() for cursor in cursors] == list(range(100))
    cursors = [await line.execute(LONG) for _ in range(2)]
    assert [len(await cursor.fetchall()) for cursor in cursors] == [3000, 3000]


async def is_active(dsn, pid):
    async with await psycopg.AsyncConnection.connect(dsn, row_factory=scalar_row) as other:
        query = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = %s"
        return await value(other, query, pid)


async def active(dsn, pid):
    async with asyncio.timeout(10):
        while not await is_active(dsn, pid):
            pass


async def test_cancelled_it_has_the_server_cancel_and_is_as_good_as_before(line, dsn):
    waiting = asyncio.create_task(line.execute("SELECT pg_sleep(60)"))
    await active(dsn, line.info.backend_pid)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not await is_active(dsn, line.info.backend_pid)
    assert line.info.transaction_status == TransactionStatus.IDLE
    assert await value(line, "SELECT 3") == 3


async def test_cancelled_twice_it_hangs_up(line, dsn, monkeypatch):
    waiting = asyncio.create_task(line.execute("SELECT pg_sleep(60)"))
    await active(dsn, line.info.backend_pid)
    asked = asyncio.Event()

    async def unanswered(**_):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(line, "cancel_safe", unanswered)
    waiting.cancel()
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert line.closed


async def test_a_connection_that_is_lost_says_so(line, dsn):
    waiting = asyncio.create_task(line.execute("SELECT pg_sleep(60)"))
    await active(dsn, line.info.backend_pid)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as other:
        await other.execute("SELECT pg_terminate_backend(%s)", [line.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        await waiting
    assert line.closed
    with pytest.raises(psycopg.OperationalError):
        await line.execute("SELECT 1")
