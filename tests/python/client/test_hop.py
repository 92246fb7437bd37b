"""A settlement and a claim, sent in one go: two transactions, two answers."""

from datetime import timedelta

import psycopg
import pytest

from arvo_plpg._async.broker import Broker
from arvo_plpg.event import ArvoEvent
from arvo_plpg.jsonb import as_jsonb
from arvo_plpg.runtime.hop import Hop
from arvo_plpg.runtime.loaders import read_quickly

CLAIMING = {"queues": ["q"], "limit": 5, "worker": "w", "lease": timedelta(seconds=30)}


def event(number, **more):
    return {
        "id": f"e{number}", "source": "com.test", "type": "com.test.step", "subject": "s",
        "to": "q", "data": {}, "time": "2030-01-01T00:00:00.000+00:00", **more,
    }  # fmt: skip


def settling(row, **more):
    result = {"lease": row.lease, "delivery": row.delivery, "outcome": "completed", **more}
    return {"results": as_jsonb([result])}


def ids(rows):
    return [row.event.read()["id"] for row in rows if row.kind == "claimed"]


@pytest.fixture
async def claiming(dsn, connection):
    """A connection as a worker has it, with one delivery claimed."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
        read_quickly(own)
        broker = Broker(own)
        await broker.register_queue("q")
        await broker.dispatch(ArvoEvent.from_dict(event(1)))
        (row,) = await broker.look(["q"], 5, "w")
        yield own, row


@pytest.mark.parametrize("prepared", [True, False])
async def test_what_is_emitted_is_claimed_behind_the_settlement(claiming, prepared):
    own, row = claiming
    hop = Hop(own, "arvo", prepared=prepared)
    for number in range(2, 10):
        answer, found = await hop.make(settling(row, events=[event(number)]), CLAIMING)
        assert answer == []
        assert ids(found) == [f"e{number}"]
        (row,) = found
    cursor = await own.execute("SELECT name FROM pg_prepared_statements WHERE name LIKE 'arvo_%'")
    assert len(await cursor.fetchall()) == (2 if prepared else 0)
    # The connection goes on as any other.
    assert await Broker(own).work([]) == []


async def test_a_settlement_that_is_refused_does_not_keep_the_claim_back(claiming, connection):
    own, row = claiming
    hop = Hop(own, "arvo", prepared=True)
    connection.execute("SELECT arvo_v1.dispatch(%s)", (as_jsonb(event(2)),))
    answer, found = await hop.make({"results": as_jsonb({})}, CLAIMING)
    assert answer is None
    assert ids(found) == ["e2"]
    answer, found = await hop.make(settling(row), CLAIMING)
    assert answer == []
    assert [row.kind for row in found] == ["idle"]


async def test_a_claim_that_is_refused_does_not_undo_the_settlement(claiming, connection):
    own, row = claiming
    answer, found = await Hop(own, "arvo", prepared=True).make(
        settling(row), CLAIMING | {"queues": ["nobody"]}
    )
    assert answer == []
    assert found is None
    outcomes = connection.execute("SELECT outcomes FROM arvo.closure").fetchall()
    assert outcomes == [(["completed"],)]


async def test_what_was_prepared_before_a_migration_is_prepared_again(claiming, connection):
    own, row = claiming
    hop = Hop(own, "arvo", prepared=True)
    answer, found = await hop.make(settling(row, events=[event(2)]), CLAIMING)
    assert (answer, ids(found)) == ([], ["e2"])
    (row,) = found
    connection.execute("ALTER TYPE arvo_v1.worked ALTER ATTRIBUTE code TYPE varchar")
    nothing = {"results": as_jsonb([])}
    _, found = await hop.make(nothing, CLAIMING)
    assert found is None
    connection.execute("ALTER TYPE arvo_v1.worked ALTER ATTRIBUTE code TYPE text")
    answer, found = await hop.make(settling(row, events=[event(3)]), CLAIMING)
    assert (answer, ids(found)) == ([], ["e3"])


async def test_a_session_that_ends_is_an_error_and_nothing_is_read_from_it(claiming, connection):
    own, row = claiming
    hop = Hop(own, "arvo", prepared=True)
    connection.execute("SELECT pg_terminate_backend(%s, 5000)", (own.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        await hop.make(settling(row), CLAIMING)
    assert own.closed
