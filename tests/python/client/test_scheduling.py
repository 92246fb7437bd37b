"""Schedules through the client: rows, errors, and events that the package's own readers take."""

import zlib
from datetime import UTC, datetime, timedelta

import pytest

from arvo_plpg import ArvoEvent, ArvoOrchestrationSubject
from arvo_plpg.errors import InvalidArgument, InvalidOption
from arvo_plpg.model_error import InvalidEventError
from arvo_plpg.sync import Broker

TICK = {"type": "com.test.tick", "source": "com.test.clock", "data": {"n": 1}}


@pytest.fixture
def broker(connection, frozen):
    frozen(connection, "2030-01-01T00:00:00Z")
    return Broker(connection)


def fired(connection):
    rows = connection.execute(
        "SELECT event FROM arvo.log WHERE lane > 0 ORDER BY xid, delivery"
    ).fetchall()
    return [ArvoEvent.from_dict(event) for (event,) in rows]


def test_a_schedule_from_its_making_to_its_end(broker, connection, frozen):
    made = broker.schedule("tick", "0 9 * * *", TICK, key="eu", time_zone="Europe/Berlin")
    assert (made.change, made.gap, made.overlap) == ("created", "shift", "first")
    assert made.next_at == datetime(2030, 1, 1, 8, tzinfo=UTC)
    assert broker.schedule("tick", "0 9 * * *", TICK, key="eu", time_zone="UTC").change == (
        "time_zone"
    )
    frozen(connection, "2030-01-01T09:00:01Z")
    connection.execute("SELECT arvo.promote()")
    (listed,) = broker.schedules("tick")
    assert (listed.fires, listed.last_outcome, listed.change) == (1, "unroutable", None)
    assert [row.change for row in broker.pause_schedule("tick")] == ["paused"]
    assert broker.schedules()[0].next_at is None
    assert [row.change for row in broker.resume_schedule("tick", "eu")] == ["resumed"]
    assert len(broker.unschedule("tick", dry_run=True)) == 1
    assert len(broker.unschedule("tick")) == 1
    assert broker.schedules() == []


def test_a_preview_of_the_night_when_clocks_are_put_forward(broker):
    fires = broker.next_fires(
        "30 2 * * *", "Europe/Berlin", 2, datetime(2025, 3, 29, 12, tzinfo=UTC), gap="shift"
    )
    assert [(fire.local_time, fire.utc_offset) for fire in fires] == [
        ("2025-03-30T03:00:00", timedelta(hours=2)),
        ("2025-03-31T02:30:00", timedelta(hours=2)),
    ]


def test_what_is_fired_is_an_event(broker, connection, frozen):
    broker.schedule("tick", "@hourly", {**TICK, "subject": "day/{firetime}"}, key="a@b")
    frozen(connection, "2030-01-01T01:00:01.5Z")
    connection.execute("SELECT arvo.fire_schedules()")
    (event,) = fired(connection)
    assert event.id == "schedule/tick/a@b/2030-01-01T01:00:00Z"
    assert event.subject == "day/2030-01-01T01:00:00Z"
    assert event.time == "2030-01-01T01:00:01.500+00:00"
    assert event.extensions == {
        "schedulename": "tick", "schedulekey": "a@b", "firetime": "2030-01-01T01:00:00Z",
    }  # fmt: skip
    assert event.data == {"n": 1}


@pytest.mark.parametrize("size", [0, 1, 97, 300])
def test_a_fire_may_begin_a_workflow(broker, connection, frozen, size):
    template = {
        "type": "arvo.orc.report", "source": "com.test.clock", "data": {"parentSubject$$": None},
        "dataschema": "#/report/1.2.3", "domain": "north", "redirectto": "com.test." + "d" * size,
    }  # fmt: skip
    broker.schedule("report", "@hourly", template)
    for hour in (1, 2):
        frozen(connection, f"2030-01-01T0{hour}:00:00Z")
        connection.execute("SELECT arvo.fire_schedules()")
    first, second = fired(connection)
    content = ArvoOrchestrationSubject.parse(first.subject)
    assert (content.orchestrator.name, content.orchestrator.version) == (
        "arvo.orc.report", "1.2.3",
    )  # fmt: skip
    assert content.execution.initiator == "com.test.clock"
    assert content.execution.id == first.id
    assert content.execution.domain == "north"
    assert content.meta == {"redirectto": "com.test." + "d" * size}
    assert first.subject != second.subject


def test_the_checksum_is_that_of_zlib(broker, connection):
    """The reader is lenient about what follows the stream; the stream itself is not."""
    packed = connection.execute(
        "SELECT decode(arvo.fresh_subject(%s, 'com.test.a', 'com.test.b', NULL, NULL, NULL),"
        " 'base64')",
        ["i\u00e4" * 20_000],
    ).fetchone()[0]
    text = zlib.decompress(packed)
    assert text.count("i\u00e4".encode()) == 20_000
    with pytest.raises(zlib.error):
        zlib.decompress(packed[:-1] + bytes([packed[-1] ^ 1]))


@pytest.mark.parametrize(
    ("error", "field", "arguments"),
    [
        (InvalidArgument, "cron", {"cron": "0 24 * * *"}),
        (InvalidArgument, "time_zone", {"time_zone": "Mars/Olympus"}),
        (InvalidArgument, "missed", {"missed": "maybe"}),
        (InvalidEventError, "id", {"event": {**TICK, "id": "1"}}),
        (InvalidOption, "prio", {"options": {"prio": 1}}),
    ],
)
def test_refusals_name_the_field_and_the_remedy(broker, error, field, arguments):
    given = {"cron": "@daily", "event": TICK, **arguments}
    with pytest.raises(error) as caught:
        broker.schedule("tick", given.pop("cron"), given.pop("event"), **given)
    assert caught.value.field == field
    assert caught.value.hint


def test_a_worker_claims_what_the_clock_has_dispatched(broker, connection, frozen):
    broker.register_queue("com.test.tick")
    broker.schedule("tick", "@hourly", TICK, options={"priority": 5})
    (idle,) = broker.work(queues=["com.test.tick"])
    assert (idle.kind, idle.wait) == ("idle", timedelta(hours=1))
    frozen(connection, "2030-01-01T01:00:00Z")
    (fired_now,) = broker.work(queues=["com.test.tick"])  # fires; the next call can claim it
    assert (fired_now.kind, fired_now.wait) == ("idle", timedelta(0))
    (claimed,) = broker.work(queues=["com.test.tick"])
    assert claimed.event["firetime"] == "2030-01-01T01:00:00Z"
    done = {"lease": claimed.lease, "delivery": claimed.delivery, "outcome": "completed"}
    (idle,) = broker.work([done], ["com.test.tick"])
    assert idle.wait == timedelta(seconds=30)  # a lease counts until its end, settled or not
    frozen(connection, "2030-01-01T01:00:30Z")
    (idle,) = broker.work(queues=["com.test.tick"])
    assert idle.wait == timedelta(minutes=59, seconds=30)
    assert broker.schedules()[0].last_outcome == "queued"
