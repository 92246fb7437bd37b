"""What monitoring costs: blocks touched, with many rows that it must not read."""

from typing import Any

import psycopg
import pytest

OTHERS = 300_000
STATS = "SELECT * FROM arvo_v1.queue_stats()"


def fill(stage: psycopg.Connection, rows: int) -> None:
    """So many ready, as many deferred: in a few transactions, as if they had been dispatched."""
    lane = "(SELECT lane FROM arvo.lane ORDER BY lane LIMIT 1)"
    for part in range(3):
        for room, due, value in (("log", "slot", "0"), ("deferred", "due", "'2031-01-01'")):
            stage.execute(
                f"INSERT INTO arvo.{room} ({due}, lane, delivery, attempt, at, subject_key,"
                f" event_key, event) SELECT {value}, {lane}, nextval('arvo.delivery_number'), 1,"
                " '2030-01-01', n, n, jsonb_build_object('id', 'o' || n, 'subject', 's' || n)"
                " FROM generate_series(%s::integer, %s::integer) AS n",
                (part * rows // 3 + 1, (part + 1) * rows // 3),
            )


def test_figures_cost_the_same_whatever_waits(actors, stage):
    ann = actors()
    ann.register("q")
    costs = []
    for rows in (30_000, 150_000):
        fill(stage, rows)
        ann.ask("SELECT arvo.tally_lanes()")
        ann.take(200)  # as many as the sample of waits looks up
        ann.ask("SELECT 1 FROM arvo_v1.queue_stats()")
        costs.append(ann.blocks(STATS))
    told = ann.ask(
        "SELECT queued_count, deferred_count, total_count, exact FROM arvo_v1.queue_stats()"
    )
    assert told == [(179_600, 180_000, 360_000, True)]
    assert costs[1] < costs[0] * 1.3
    assert costs[1] < 4000


def test_without_a_tally_figures_are_right_and_dear(actors, stage):
    """So the bound above is the tally's work."""
    ann = actors()
    ann.register("q")
    fill(stage, 90_000)
    told = "SELECT queued_count, deferred_count, total_count FROM arvo_v1.queue_stats()"
    assert ann.ask(told) == [(90_000, 90_000, 180_000)]
    without = ann.blocks(STATS)
    ann.ask("SELECT arvo.tally_lanes()")
    assert ann.ask(told) == [(90_000, 90_000, 180_000)]
    assert ann.blocks(STATS) * 4 < without


def test_gauges_cost_the_same_whatever_waits(actors, stage):
    ann = actors()
    ann.register("q")
    costs = []
    for rows in (30_000, 150_000):
        fill(stage, rows)
        ann.ask("SELECT arvo.tally_lanes()")
        ann.ask("SELECT count(*) FROM arvo_v1.gauges()")
        costs.append(ann.blocks("SELECT * FROM arvo_v1.gauges()"))
    depth = "SELECT state, value FROM arvo_v1.gauges() WHERE name = 'arvo.queue.depth' ORDER BY 1"
    assert ann.ask(depth) == [
        ("deferred", 180_000.0),
        ("ready", 180_000.0),
        ("running", 0.0),
        ("waiting", 0.0),
    ]
    assert costs[1] < costs[0] * 1.3
    assert costs[1] < 1500


def test_gauges_of_idle_queues_are_a_few_look_ups_each(actors):
    ann = actors()
    queues = 600
    ann.ask(
        "SELECT count(*) FROM arvo_v1.dispatch_many((SELECT jsonb_agg(stage.event("
        "'e' || n, 'many.' || n)) FROM generate_series(1, %s) AS n))",
        queues,
    )
    while taken := ann.take(10_000, "many.*"):
        ann.complete(*taken)
    ann.ask("SELECT arvo.tally_lanes()")
    ann.ask("SELECT count(*) FROM arvo_v1.gauges()")
    assert ann.blocks("SELECT * FROM arvo_v1.gauges()") < queues * 120
    assert ann.ask("SELECT count(*) FROM arvo_v1.gauges(10) WHERE queue IS NOT NULL") == [(88,)]


@pytest.fixture
def history(actors: Any, stage: psycopg.Connection) -> Any:
    """A session on a database where many deliveries of others have been run, and one workflow."""
    ann = actors()
    ann.register("q")
    ann.put("first")
    ann.complete(*ann.take(1))
    stage.execute(
        "INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event)"
        " SELECT 0, 1, nextval('arvo.delivery_number'), 1, '2030-01-01', n, n,"
        " jsonb_build_object('id', 'o' || n, 'subject', 's' || n)"
        " FROM generate_series(1, %s) AS n",
        (OTHERS,),
    )
    while ann.ask("SELECT count(*) FROM arvo_v1.claim('{q}', 1000)") != [(0,)]:
        pass
    stage.execute(
        "INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)"
        " SELECT 0, token, leased_at, deliveries, '{completed}',"
        " array_fill(5, ARRAY[cardinality(deliveries)])"
        " FROM arvo.lease WHERE token NOT IN (SELECT token FROM arvo.closure) AND token <> 0"
    )
    ann.put("second")
    ann.put("second-later", after="1 hour")
    ann.complete(*ann.take(10))
    return ann


def test_a_story_costs_the_same_whatever_others_did(history):
    (told,) = history.ask("SELECT outcome, queue FROM arvo_v1.trace('first')")
    assert told == ("completed", "q")
    history.ask("SELECT count(*) FROM arvo_v1.trace('second')")
    for subject in ("first", "second", "second-later"):
        assert history.blocks("SELECT * FROM arvo_v1.trace(%s)", subject) < 400
    history.ask("SELECT count(*) FROM arvo_v1.trace('nobody')")
    assert history.blocks("SELECT * FROM arvo_v1.trace('nobody')") < 150


def test_a_delivery_is_found_by_its_number_without_reading_history(history, stage):
    stage.execute("SELECT brin_summarize_new_values('arvo.log_0_delivery_idx')")
    blocks = stage.execute("SELECT pg_relation_size('arvo.log_0') / 8192").fetchone()[0]
    for number in (1, OTHERS // 2, OTHERS + 2):
        history.ask("SELECT count(*) FROM arvo_v1.explain_delivery(%s)", number)
        assert history.blocks("SELECT * FROM arvo_v1.explain_delivery(%s)", number) < 800
    assert blocks > 5000
    (told,) = history.ask("SELECT place, reason FROM arvo_v1.explain_delivery(%s)", OTHERS // 2)
    assert told == ("closed", "closed")


LEASE_OF = "SELECT (arvo.lease_of(%s, %s, %s)).number"
PAGE = (
    "SELECT outcome FROM arvo_v1.history('q', format('%%s/%%s/%%s', %s::text, %s::text, %s - 1), 1)"
)


def place_of(actor: Any, event_id: str) -> tuple[int, str, int]:
    """Where an event stands in the log: lane, transaction, delivery."""
    (place,) = actor.ask(
        "SELECT lane, xid::text, delivery FROM arvo.log WHERE event ->> 'id' = %s", event_id
    )
    return place


def rows_read(actor: Any, statement: str, *arguments: Any) -> int:
    """How many rows of the log and the ledger a statement reads."""
    with actor.connection.transaction():
        before = sum(actor.fetched())
        actor.ask(statement, *arguments)
        return int(sum(actor.fetched()) - before)


def test_history_finds_the_lease_of_what_was_committed_late_by_few_look_ups(actors):
    """A thousand claims lie between its place in the log and its own, which has newer ones, too."""
    ann, late = actors(), actors()
    ann.register("q")
    late.connection.autocommit = False
    late.put("late")
    for _ in range(1000):
        ann.put_many(1)
        ann.complete(*ann.take(1))
    late.connection.commit()
    ann.put_many(1)
    assert ann.take(2)[0][2] == "late"
    place = place_of(ann, "late")
    assert ann.ask(LEASE_OF, *place) == [(1001,)]
    assert ann.ask(PAGE, *place) == [("active",)]
    assert rows_read(ann, PAGE, *place) < 60


def test_history_knows_what_no_lease_ever_had(actors, stage):
    """The cursor passed it, and five hundred claims come after it: they are not looked through."""
    ann = actors()
    ann.register("q")
    ann.put("passed")
    ann.take(1)
    stage.execute("UPDATE arvo.lease SET deliveries = '{}' WHERE number = 1")
    for _ in range(500):
        ann.put_many(1)
        ann.complete(*ann.take(1))
    place = place_of(ann, "passed")
    assert ann.ask(LEASE_OF, *place) == [(None,)]
    assert rows_read(ann, LEASE_OF, *place) < 60
