"""What is known of dispatched events outlives the move of their keys into the log, and back."""

from datetime import timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb

from arvo_plpg.schema import migrate, rollback

HOUR = timedelta(hours=1)
MANY = [f"many-{number}" for number in range(120)]
KNOWN = """
SELECT event ->> 'id' FROM arvo.log WHERE lane = 0
ORDER BY event ->> 'id' COLLATE "C"
"""


def event(event_id, to="q"):
    return {
        "id": event_id,
        "source": "test",
        "type": "com.test.happened",
        "subject": event_id,
        "to": to,
        "data": {},
    }


class Producer:
    """A session that dispatches and says what became of it."""

    def __init__(self, dsn):
        self.connection = psycopg.connect(dsn, autocommit=True)

    def put(self, event_id, to="q", after=None):
        return self.connection.execute(
            "SELECT outcome, delivery FROM arvo_v1.dispatch(%s, %s)",
            [Jsonb(event(event_id, to)), after],
        ).fetchone()

    def put_many(self, *ids):
        return self.connection.execute(
            "SELECT outcome, delivery FROM arvo_v1.dispatch_many(%s)",
            [Jsonb([event(one) for one in ids])],
        ).fetchall()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


@pytest.mark.timeout(120)
def test_duplicates_are_refused_after_the_move_and_after_the_way_back(dsn):
    migrate(dsn, to=6)
    with Producer(dsn) as producer:
        for queue in ("q", "short"):
            producer.connection.execute(
                "SELECT arvo_v1.register_queue(%s, p_deduplicate_for => %s)",
                [queue, HOUR if queue == "short" else None],
            )
        first = {
            "plain": producer.put("plain")[1],
            "later": producer.put("later", after=HOUR)[1],
            "unroutable": producer.put("unroutable", "nobody")[1],
            "short": producer.put("short", "short")[1],
        } | dict(zip(MANY, (delivery for _, delivery in producer.put_many(*MANY)), strict=True))
        producer.put("over", "short")
        producer.connection.execute(
            "UPDATE arvo.event_key SET at = at - interval '1 hour' WHERE delivery = %s",
            [first["short"] + 121],
        )
    places = {"unroutable": "nobody", "short": "short"}

    def ask_again():
        with Producer(dsn) as producer:
            for name in ("plain", "later", "unroutable", "short"):
                assert producer.put(name, places.get(name, "q")) == ("duplicate", first[name])
            told = producer.put_many(*MANY, "plain")
            assert told == [("duplicate", first[name]) for name in (*MANY, "plain")]
            return producer.connection.execute("SELECT count(*) FROM arvo.log").fetchone()

    migrate(dsn)
    with Producer(dsn) as producer:
        known = [name for (name,) in producer.connection.execute(KNOWN)]
        assert known == sorted(first), "one key each, and none whose window is over"
        assert producer.put("over", "short")[0] == "queued"
        first |= {
            "new": producer.put("new")[1],
            "new later": producer.put("new later", "q", HOUR)[1],
        }
    stored = ask_again()

    rollback(dsn, to=6, yes_lose_data=True)
    assert ask_again()[0] == stored[0] - len(known) - 1, "the rows that were nothing but keys"
    with Producer(dsn) as producer:
        assert producer.put("new") == ("duplicate", first["new"])
        assert producer.put("new later") == ("duplicate", first["new later"])
        assert producer.put("over", "short")[0] == "duplicate"
        assert producer.put("never seen")[0] == "queued"

    migrate(dsn)
    ask_again()


def test_generations_are_numbered_by_their_slots(dsn):
    migrate(dsn, to=6)
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM arvo.generation")
        connection.execute("SELECT setval('arvo.generation_number_seq', 41)")
        connection.execute(  # numbers are left out where a transaction was undone
            "INSERT INTO arvo.generation (number, slot, opened_at) OVERRIDING SYSTEM VALUE"
            " VALUES (17, 2, now()), (18, 3, now()), (30, 0, now()), (41, 1, now())"
        )
    migrate(dsn)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT number, slot FROM arvo.generation ORDER BY 1").fetchall()
        assert rows == [(39, 2), (40, 3), (41, 0), (42, 1)]
        assert connection.execute("SELECT arvo.slot()").fetchone() == (1,)
        assert connection.execute(
            "SELECT last_value FROM arvo.generation_number_seq"
        ).fetchone() == (42,)
