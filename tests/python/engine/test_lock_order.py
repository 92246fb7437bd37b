"""Whoever takes several locks takes them in one order: sessions never wait in a ring.

ARVO_STRESS_SECONDS sets how long it lasts (default 5).
"""

import os
import random
import threading
from collections.abc import Callable

import psycopg
import pytest
from psycopg.types.json import Jsonb

SECONDS = float(os.environ.get("ARVO_STRESS_SECONDS", "5"))
SUBJECTS = [f"s{number}" for number in range(6)]
QUEUES = ["q", "r", "dlq"]


class Crowd:
    """Leases that everybody knows of, and the ways to meet over them."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []
        self.stop = threading.Event()
        self.errors: list[str] = []
        self.calls = 0

    def some(self, chance: random.Random) -> list[tuple[int, int]]:
        recent = self.taken[-40:]
        return chance.sample(recent, k=min(len(recent), chance.randint(1, 8)))

    def results(self, chance: random.Random) -> list[dict]:
        results = []
        for lease, delivery in self.some(chance):
            item = {"lease": lease, "delivery": delivery}
            item["outcome"] = chance.choice(["completed", "completed", "failed", "rejected"])
            if item["outcome"] == "completed":
                # New workflows of parents that nobody has seen yet, or steps of old ones.
                new = chance.random() < 0.7
                item["state"] = {
                    "subject": f"n{chance.randrange(10**9)}" if new else chance.choice(SUBJECTS),
                    "parent_subject": f"p{self.calls // 10}-{chance.randrange(6)}",
                    "data": {},
                    "expected_version": 0 if new else chance.randint(0, 3),
                }
            results.append(item)
        return results

    def settle(self, connection: psycopg.Connection, chance: random.Random) -> None:
        connection.execute("SELECT * FROM arvo_v1.settle(%s)", [Jsonb(self.results(chance))])

    def work(self, connection: psycopg.Connection, chance: random.Random) -> None:
        rows = connection.execute(
            "SELECT lease, delivery FROM arvo_v1.work(%s, %s, 5, NULL, NULL, '1 second')"
            " WHERE kind = 'claimed'",
            [Jsonb(self.results(chance)), chance.sample(QUEUES, k=3)],
        ).fetchall()
        self.taken += rows

    def extend(self, connection: psycopg.Connection, chance: random.Random) -> None:
        leases = [lease for lease, _ in self.some(chance)]
        connection.execute("SELECT * FROM arvo_v1.extend(%s, '1 second')", [leases])

    def dispatch(self, connection: psycopg.Connection, chance: random.Random) -> None:
        connection.execute(
            "SELECT count(*) FROM arvo_v1.dispatch_many((SELECT jsonb_agg("
            "stage.event('e' || n, (ARRAY['q', 'r'])[1 + n % 2])) FROM generate_series(1, 5) n))"
        )

    def write(self, connection: psycopg.Connection, chance: random.Random) -> None:
        subject = chance.choice(SUBJECTS)
        with connection.transaction():
            lock = connection.execute(
                "SELECT token FROM arvo_v1.acquire_lock(%s, '1 second')", [subject]
            ).fetchone()
            if lock:
                row = connection.execute(
                    "SELECT version FROM arvo_v1.read_state(%s)", [subject]
                ).fetchone()
                connection.execute(
                    "SELECT arvo_v1.write_state(%s, '{}', %s, p_lock => %s)",
                    [subject, row[0] if row else 0, lock[0]],
                )
                connection.execute(
                    "SELECT arvo_v1.renew_lock(%s, %s, '1 second')", [subject, lock[0]]
                )
                connection.execute("SELECT arvo_v1.release_lock(%s, %s)", [subject, lock[0]])

    def clean(self, connection: psycopg.Connection, chance: random.Random) -> None:
        connection.execute("SELECT arvo_v1.cleanup_state(%s)", [chance.choice(SUBJECTS)])

    def redrive(self, connection: psycopg.Connection, chance: random.Random) -> None:
        chosen = chance.choice(["'q'", "'r'", "'dlq'", "p_reason => 'failed'", "p_text => 'e'"])
        connection.execute(
            f"SELECT * FROM arvo_v1.redrive({chosen}, p_limit => 5, p_force => true)"
        )

    def operate(self, connection: psycopg.Connection, chance: random.Random) -> None:
        verb = chance.choice(
            [
                "cancel(p_queue => %s, p_include_running => true, p_limit => 3)",
                "retry_now(p_queue => %s)",
                "move('r', p_queue => %s, p_limit => 3)",
                "reprioritize(1, p_queue => %s, p_limit => 3)",
                "purge_queue(%s, 3)",
                "pause_queue(%s)",
                "drain_queue(%s)",
                "resume_queue(%s)",
            ]
        )
        queue = chance.choice(["q", "dlq"])
        connection.execute(f"SELECT * FROM arvo_v1.{verb}", [queue])
        connection.execute("SELECT * FROM arvo_v1.resume_queue(%s)", [queue])

    def discard(self, connection: psycopg.Connection, chance: random.Random) -> None:
        chosen = chance.choice(["'q'", "'r'", "'dlq'", "p_reason => 'rejected'"])
        connection.execute(f"SELECT * FROM arvo_v1.discard({chosen}, p_limit => 1)")

    def replay(self, connection: psycopg.Connection, chance: random.Random) -> None:
        connection.execute("SELECT arvo_v1.replay('e1', p_queue => %s)", [chance.choice(QUEUES)])

    def register(self, connection: psycopg.Connection, chance: random.Random) -> None:
        """New rules, which hold lanes and leases of the queue; a process that comes and goes."""
        worker = f"w{chance.randrange(3)}"
        limit = chance.choice([0, 3, 30])
        connection.execute(
            "SELECT arvo_v1.register_queue('r', p_max_active => NULLIF(%s, 0), p_worker => %s,"
            " p_reset => %s)",
            [limit, worker, [] if limit else ["max_active"]],
        )
        connection.execute("SELECT arvo_v1.check_in(%s, '{r}')", [worker])
        connection.execute("SELECT arvo_v1.check_out(%s)", [worker])

    def plan(self, connection: psycopg.Connection, chance: random.Random) -> None:
        """A schedule that is due at once, whoever fires it; a subscription."""
        name = f"tick{chance.randrange(2)}"
        connection.execute(
            "SELECT arvo_v1.schedule(%s, '* * * * * *', stage.tick(%s))",
            [name, name],
        )
        pattern = chance.choice(["com.**", "com.test.*"])
        connection.execute("SELECT arvo_v1.subscribe('q', %s)", [pattern])
        connection.execute("SELECT count(*) FROM arvo_v1.publish(stage.event('p', 'q'))")
        connection.execute("SELECT arvo_v1.unsubscribe('q', %s)", [pattern])
        connection.execute("SELECT * FROM arvo_v1.unschedule(%s)", [name])

    def maintain(self, connection: psycopg.Connection, chance: random.Random) -> None:
        connection.execute("SELECT * FROM arvo_v1.maintain()")

    def repeat(
        self, way: Callable[[psycopg.Connection, random.Random], None], dsn: str, seed: int
    ) -> None:
        chance = random.Random(seed)
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not self.stop.is_set():
                try:
                    way(connection, chance)
                    self.calls += 1
                except psycopg.Error as error:
                    if error.sqlstate not in ("RV101", "RV004"):
                        self.errors.append(f"{way.__name__}: {error!r}")


@pytest.mark.timeout(int(SECONDS) + 60)
def test_no_two_functions_wait_for_each_other(stage, dsn):
    for queue in ("q", "r"):
        stage.execute(
            "SELECT arvo_v1.register_queue("
            "%s, p_retry_limit => 1, p_dead_letter => 'dlq', p_deduplicate_for => '0')",
            [queue],
        )
    crowd = Crowd()
    ways = [
        crowd.work, crowd.work, crowd.settle, crowd.settle, crowd.extend, crowd.extend,
        crowd.dispatch, crowd.write, crowd.clean, crowd.redrive, crowd.redrive,
        crowd.discard, crowd.replay, crowd.maintain, crowd.operate, crowd.operate,
        crowd.register, crowd.plan,
    ]  # fmt: skip
    threads = [
        threading.Thread(target=crowd.repeat, args=(way, dsn, seed), daemon=True)
        for seed, way in enumerate(ways)
    ]
    for thread in threads:
        thread.start()
    crowd.stop.wait(SECONDS)
    crowd.stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert crowd.errors == []
    deadlocks = stage.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert deadlocks == (0,)
    assert crowd.calls > 200
    assert len(crowd.taken) > 50
    assert [fault for (fault,) in stage.execute("SELECT stage.faults()")] == []
