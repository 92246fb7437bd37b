"""Operators do everything at once while workers work: every event still ends in exactly one way.

ARVO_STRESS_SECONDS sets how long that lasts (default 5). ARVO_STRESS_SEED repeats a choice of
actions; their interleaving is the server's.
"""

import os
import random
import secrets
import threading
import time
from collections import Counter

import psycopg
import pytest
from psycopg.types.json import Jsonb

SECONDS = float(os.environ.get("ARVO_STRESS_SECONDS", "5"))
SEED = int(os.environ.get("ARVO_STRESS_SEED", "0")) or secrets.randbits(32)
QUEUES = ["fast", "slow", "dlq"]
ENDS = ["completed"] * 6 + ["failed", "released", "snoozed", "rejected"]
VERBS = {
    "pause": "SELECT change FROM arvo_v1.pause_queue(%(queue)s)",
    "resume": "SELECT change FROM arvo_v1.resume_queue(%(queue)s)",
    "drain": "SELECT (arvo_v1.drain_queue(%(queue)s)).change",
    "purge": "SELECT place FROM arvo_v1.purge_queue(%(queue)s, %(limit)s) WHERE removed > 0",
    "cancel one": "SELECT done FROM arvo_v1.cancel(p_event_id => %(event)s)",
    "cancel tree": "SELECT done FROM arvo_v1.cancel("
    "p_tree => %(event)s, p_include_running => true)",
    "cancel running": "SELECT done FROM arvo_v1.cancel("
    "p_queue => %(queue)s, p_include_running => true, p_limit => %(limit)s)",
    "cancel some": "SELECT done FROM arvo_v1.cancel(p_text => %(event)s, p_limit => %(limit)s)",
    "retry now": "SELECT done FROM arvo_v1.retry_now(p_queue => %(queue)s, p_limit => %(limit)s)",
    "move": "SELECT done FROM arvo_v1.move(%(queue)s, p_queue => %(other)s, p_limit => %(limit)s)",
    "move one": "SELECT done FROM arvo_v1.move(%(queue)s, p_event_id => %(event)s)",
    "reprioritize": "SELECT done FROM arvo_v1.reprioritize("
    "%(priority)s, p_queue => %(queue)s, p_limit => %(limit)s)",
    "redrive": "SELECT event_id FROM arvo_v1.redrive(%(queue)s, p_limit => %(limit)s)",
    "recreate": "SELECT place FROM arvo_v1.recreate_queue(%(queue)s) WHERE removed > 0",
}


class House:
    """What the sessions know of each other."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.committed: list[str] = []
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []

    def repeat(self, role: str, number: int) -> None:
        chance = random.Random(SEED + number)
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while not self.stop.is_set():
                try:
                    getattr(self, role)(connection, chance, number)
                except (psycopg.Error, AssertionError) as error:
                    self.errors.append(f"{role}: {error!r}")

    def produce(self, connection: psycopg.Connection, chance: random.Random, number: int) -> None:
        ids = [f"p{number}-{len(self.committed)}-{n}-" for n in range(chance.randint(1, 5))]
        with connection.transaction():
            for event_id in ids:
                queue = chance.choice(QUEUES[:2])
                connection.execute(
                    "SELECT arvo_v1.dispatch(stage.event(%s, %s, %s), %s::interval, %s)",
                    [
                        event_id,
                        queue,
                        chance.choice([None, "s1", "s2"]),
                        chance.choice([None, None, None, "200 ms", "2 seconds"]),
                        chance.choice([None, None, 3]) if queue == "fast" else None,
                    ],
                )
            self.stop.wait(chance.random() / 100)
        with self.lock:
            self.committed += ids

    def consume(self, connection: psycopg.Connection, chance: random.Random, number: int) -> None:
        taken = connection.execute(
            "SELECT lease, delivery FROM arvo_v1.claim(%s, %s, NULL, NULL, '1 second')",
            [chance.sample(QUEUES, k=3), chance.choice([1, 2, 10])],
        ).fetchall()
        if not taken or chance.random() < 0.05:
            self.stop.wait(0.01)
            return
        if chance.random() < 0.2:
            connection.execute("SELECT arvo_v1.extend(%s, '1 second')", [[taken[0][0]]])
        self.stop.wait(chance.random() / 50)
        items = [
            {"lease": lease, "delivery": delivery, "outcome": chance.choice(ENDS), "after": 0.3}
            for lease, delivery in taken
        ]
        verdicts = connection.execute(
            "SELECT outcome, code FROM arvo_v1.settle(%s)", [Jsonb(items)]
        ).fetchall()
        assert {code for _, code in verdicts} <= {None, "RV301"}, verdicts
        with self.lock:
            self.done["refused"] += sum(code == "RV301" for _, code in verdicts)

    def operate(self, connection: psycopg.Connection, chance: random.Random, number: int) -> None:
        verb = chance.choice([*VERBS, "resume", "resume"])
        queue, other = chance.sample(QUEUES, k=2)
        with self.lock:
            recent = self.committed[-100:] or ["nobody"]
        rows = connection.execute(
            VERBS[verb],
            {
                "queue": queue,
                "other": other,
                "event": chance.choice(recent),
                "limit": chance.choice([1, 3, 20]),
                "priority": chance.choice([0, 1, 7]),
            },
        ).fetchall()
        with self.lock:
            self.done[verb] += sum(row[0] not in ("unchanged", "left") for row in rows)
        self.stop.wait(chance.random() / 50)


@pytest.mark.timeout(int(SECONDS) + 120)
def test_whatever_operators_do_every_event_ends_once(stage, dsn):
    stage.execute("SELECT arvo_v1.register_queue('fast', p_retry_delay => '50 ms')")
    stage.execute(
        "SELECT arvo_v1.register_queue("
        "'slow', p_policy => 'ordered', p_retry_limit => 0, p_dead_letter => 'dlq')"
    )
    stage.execute("SELECT arvo_v1.register_queue('dlq', p_retry_limit => 0)")
    house = House(dsn)
    roles = ["produce", "produce", "consume", "consume", "operate", "operate"]
    threads = [
        threading.Thread(target=house.repeat, args=(role, number), daemon=True)
        for number, role in enumerate(roles)
    ]
    for thread in threads:
        thread.start()
    house.stop.wait(SECONDS)
    house.stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert house.errors == [], f"seed {SEED}"

    stage.execute("SELECT arvo_v1.resume_queue('*')")
    deadline = time.monotonic() + 30
    while True:
        stage.execute("SELECT * FROM arvo_v1.maintain()")
        taken = stage.execute("SELECT lease, delivery FROM arvo_v1.claim(%s, 1000)", [QUEUES])
        items = [{"lease": t[0], "delivery": t[1], "outcome": "completed"} for t in taken]
        stage.execute("SELECT arvo_v1.settle(%s)", [Jsonb(items)])
        left = stage.execute(
            "SELECT count(*) FROM stage.story"
            " WHERE place IN ('queued', 'parked', 'deferred', 'leased')"
        ).fetchone()
        if left == (0,):
            break
        assert time.monotonic() < deadline, f"{left} deliveries are never handed out"
        time.sleep(0.05)

    faults = [fault for (fault,) in stage.execute("SELECT stage.faults()")]
    assert faults == [], f"seed {SEED}: {faults}"
    assert stage.execute("SELECT count(*) FROM arvo.tombstone").fetchone() == (0,)
    # A dead letter that lies in a dead-letter queue ends as the delivery there does; one that was
    # redriven has another life.
    ends = Counter(
        row[0]
        for row in stage.execute(
            """SELECT event_id FROM stage.story
               WHERE place IN ('completed', 'cancelled') AND NOT EXISTS (
                   SELECT FROM arvo.dead
                   WHERE dead_letter_delivery = story.delivery AND resolution = 'redriven'
               )
               UNION ALL
               SELECT event_id FROM arvo.dead
               WHERE dead_letter_delivery IS NULL AND resolution IS DISTINCT FROM 'redriven'"""
        )
    )
    assert ends == Counter(house.committed), f"seed {SEED}"
    lying = "SELECT FROM arvo.dead WHERE resolution IS NULL AND dead_letter_delivery IS NOT NULL"
    assert stage.execute(lying).fetchall() == [], f"seed {SEED}"
    idle = {verb for verb in VERBS if not house.done[verb]}
    assert idle - {"recreate", "redrive"} == set(), f"verbs that never did anything; seed {SEED}"
    assert house.done["refused"] > 0, "no worker lost what it was running"
    deadlocks = stage.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert deadlocks == (0,)
