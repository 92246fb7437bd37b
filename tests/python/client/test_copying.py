"""dispatch_copy: any number of events in batches, what is told, and what a failure leaves."""

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb

from arvo_plpg import (
    ArvoEvent,
    CopyInterrupted,
    InvalidArgument,
    InvalidEventError,
    SourceMismatch,
    create_arvo_event,
)
from arvo_plpg._async.copying import BATCH_BYTES, BATCH_EVENTS
from arvo_plpg.rows import Copied
from arvo_plpg.sync import Broker

QUEUE = "com.example.task"


def make(number, **more):
    return create_arvo_event(
        **{
            "source": "com.example.client",
            "type": QUEUE,
            "subject": f"s{number}",
            "data": {"number": number},
            "id": f"e{number}",
        }
        | more
    )


def refused(number):
    """One that was never validated, and that the database refuses."""
    return ArvoEvent.from_trusted_dict(make(number).to_dict() | {"type": "com.Example.task"})


@pytest.fixture
def stored(dsn):
    """Count stored events."""
    with psycopg.connect(dsn, autocommit=True, row_factory=scalar_row) as connection:
        connection.execute("SELECT arvo_v1.register_queue(%s)", [QUEUE])

        def look(query="SELECT count(*) FROM arvo.log WHERE lane > 0"):
            return connection.execute(query).fetchone()

        yield look


async def test_a_stream_is_stored_in_order_and_in_batches(broker, stored):
    events = BATCH_EVENTS * 2 + 5
    told = await broker.dispatch_copy(make(n) for n in range(events))
    assert told == [Copied("queued", events, [])]
    assert stored() == events
    assert stored("SELECT count(DISTINCT xid) FROM arvo.log") == 3
    in_order = """SELECT bool_and(event ->> 'id' = 'e' || (place - 1))
        FROM (SELECT event, row_number() OVER (ORDER BY delivery) AS place
            FROM arvo.log WHERE lane > 0) AS l"""
    assert stored(in_order) is True


async def test_an_asynchronous_stream_is_read_batch_by_batch(broker, stored):
    seen = []

    async def events():
        for number in range(BATCH_EVENTS * 3):
            if number % BATCH_EVENTS == 0:
                seen.append(stored())
            yield make(number)

    assert await broker.dispatch_copy(events()) == [Copied("queued", BATCH_EVENTS * 3, [])]
    # the first batch is written before the third is read: a stream is not kept
    assert seen[0] == seen[1] == 0
    assert stored() == BATCH_EVENTS * 3


async def test_a_batch_is_committed_while_the_next_is_read(broker, stored, until):
    async def events():
        for number in range(BATCH_EVENTS * 3):
            if number > BATCH_EVENTS and number % BATCH_EVENTS == 1:
                await until(lambda: stored() == number // BATCH_EVENTS * BATCH_EVENTS)  # noqa: B023
            yield make(number)

    assert await broker.dispatch_copy(events()) == [Copied("queued", BATCH_EVENTS * 3, [])]


async def test_a_commit_that_fails_stores_and_counts_nothing(broker, stored, dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'not at commit' USING ERRCODE = 'RV006'; END $$"""
        )
        connection.execute(
            """CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON arvo.log
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (NEW.event ->> 'id' = 'e1500') EXECUTE FUNCTION refuse()"""
        )
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        events = [make(number) for number in range(BATCH_EVENTS * 3)]
        with pytest.raises(CopyInterrupted, match="not at commit") as broken:
            await broker.dispatch_copy(events, connection=connection)
        assert broken.value.stored == stored() == BATCH_EVENTS
        assert connection.info.transaction_status == TransactionStatus.IDLE
        assert (await broker.dispatch(make(-1), connection=connection)).outcome == "queued"


async def test_large_events_make_smaller_batches(broker, stored):
    events = [make(n, data={"text": "x" * 900_000}) for n in range(9)]
    assert await broker.dispatch_copy(events) == [Copied("queued", 9, [])]
    assert stored("SELECT count(DISTINCT xid) FROM arvo.log") > 9 * 900_000 / BATCH_BYTES


async def test_nothing_is_nothing(broker, stored):
    assert await broker.dispatch_copy([]) == []
    assert stored() == 0


async def test_duplicates_and_others_are_told_by_their_places(broker, stored):
    await broker.dispatch(make(7))
    events = [make(n) for n in range(BATCH_EVENTS)]
    events += [make(1), make(5000, to="com.example.nobody"), make(5001)]
    told = {row.outcome: row for row in await broker.dispatch_copy(events)}
    assert told == {
        "duplicate": Copied("duplicate", 2, [8, BATCH_EVENTS + 1]),
        "unroutable": Copied("unroutable", 1, [BATCH_EVENTS + 2]),
        "queued": Copied("queued", BATCH_EVENTS, []),
    }
    assert stored() == BATCH_EVENTS + 2


async def test_a_failure_leaves_the_batches_before_it_and_the_rest_can_be_given_again(
    broker, stored
):
    good = [make(n) for n in range(BATCH_EVENTS * 3)]
    place = BATCH_EVENTS * 2 + 10
    bad = [*good[:place], refused(-1), *good[place:]]
    with pytest.raises(CopyInterrupted) as broken:
        await broker.dispatch_copy(bad)
    assert broken.value.stored == stored() == BATCH_EVENTS * 2
    assert isinstance(broken.value.__cause__, InvalidEventError)
    assert "event 11 of 1000: type" in str(broken.value)

    told = {row.outcome: row.events for row in await broker.dispatch_copy(good)}
    assert told == {"duplicate": BATCH_EVENTS * 2, "queued": BATCH_EVENTS}
    assert stored() == BATCH_EVENTS * 3


async def test_what_is_under_way_when_the_stream_breaks_off_is_stored_and_counted(broker, stored):
    def events():
        for number in range(BATCH_EVENTS * 2 + 10):
            yield make(number)
        raise RuntimeError("no more")

    with pytest.raises(CopyInterrupted) as broken:
        await broker.dispatch_copy(events())
    assert broken.value.stored == stored() == BATCH_EVENTS * 2
    assert isinstance(broken.value.__cause__, RuntimeError)


async def test_what_is_no_event_breaks_the_stream(broker, stored):
    with pytest.raises(CopyInterrupted) as broken:
        await broker.dispatch_copy([make(1), {"id": "2"}])
    assert isinstance(broken.value.__cause__, InvalidArgument)
    assert broken.value.stored == stored() == 0


async def test_a_strict_broker_checks_every_event(broker_on, stored):
    broker = await broker_on(strict=True)
    await broker.on_workflow_complete(source="com.example.client", listener=lambda _: None)
    with pytest.raises(CopyInterrupted) as broken:
        await broker.dispatch_copy([make(1), make(2, source="com.example.other")])
    assert isinstance(broken.value.__cause__, SourceMismatch)
    assert stored() == 0


async def test_a_connection_of_yours_has_it_in_one_transaction(broker, stored, dsn):
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        told = await broker.dispatch_copy(
            (make(n) for n in range(BATCH_EVENTS + 1)), connection=connection
        )
        assert told == [Copied("queued", BATCH_EVENTS + 1, [])]
        assert stored() == 0
        await connection.commit()
        assert stored() == BATCH_EVENTS + 1
        assert stored("SELECT count(DISTINCT xid) FROM arvo.log") == 1

        more = [make(n) for n in range(5000, 5000 + BATCH_EVENTS)]
        with pytest.raises(InvalidEventError):
            await broker.dispatch_copy([*more, refused(-1)], connection=connection)
        await connection.rollback()
        assert stored() == BATCH_EVENTS + 1
        # and the connection is as good as before
        await broker.dispatch_copy(more, connection=connection)
        await connection.commit()
        assert stored() == BATCH_EVENTS * 2 + 1


async def test_a_transaction_on_a_connection_in_autocommit_has_it_all(broker, stored, dsn):
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        with pytest.raises(InvalidEventError):
            async with connection.transaction():
                await broker.dispatch_copy(
                    [*(make(n) for n in range(BATCH_EVENTS)), refused(-1)], connection=connection
                )
        assert stored() == 0


async def test_a_connection_that_breaks_says_what_is_stored_before(broker, stored, dsn):
    twice = make(BATCH_EVENTS + 5)
    async with (
        await psycopg.AsyncConnection.connect(dsn) as other,
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection,
    ):
        # What another has dispatched, and not committed, keeps the second batch under way.
        await other.execute("SELECT arvo_v1.dispatch(%s)", [Jsonb(twice.to_dict())])

        def events():
            for number in range(BATCH_EVENTS * 3):
                if number == BATCH_EVENTS * 2 + 1:
                    stored(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 5000)")
                yield make(number)

        with pytest.raises(CopyInterrupted) as broken:
            await broker.dispatch_copy(events(), connection=connection)
        await other.rollback()
    assert broken.value.stored == BATCH_EVENTS
    assert stored() == BATCH_EVENTS


async def test_a_queue_option_holds_for_all(broker, stored):
    told = await broker.dispatch_copy((make(n) for n in range(3)), start_after=60)
    assert told == [Copied("deferred", 3, [])]
    assert stored("SELECT count(*) FROM arvo.deferred") == 3


def test_the_blocking_twin_does_the_same(dsn, stored):
    with psycopg.connect(dsn, autocommit=True) as connection:
        broker = Broker(connection)
        events = BATCH_EVENTS + 1
        assert broker.dispatch_copy(make(n) for n in range(events)) == [
            Copied("queued", events, [])
        ]
        with pytest.raises(CopyInterrupted) as broken:
            broker.dispatch_copy([make(0), *(make(n) for n in range(2000, 3000)), refused(-1)])
        assert connection.info.transaction_status == TransactionStatus.IDLE
    assert broken.value.stored == BATCH_EVENTS
    assert stored() == events + BATCH_EVENTS - 1
