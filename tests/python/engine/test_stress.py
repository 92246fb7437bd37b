"""Producers and consumers do everything wrong at once; afterwards every event is accounted for.

ARVO_STRESS_SECONDS sets how long that lasts (default 5, twice). ARVO_STRESS_SEED repeats a choice
of actions; their interleaving is the server's.
"""

import os
import random
import secrets
import threading
import time
from collections import Counter
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

SECONDS = float(os.environ.get("ARVO_STRESS_SECONDS", "5"))
SEED = int(os.environ.get("ARVO_STRESS_SEED", "0")) or secrets.randbits(32)
QUEUES = {"fast": 0, "slow": 5}
ENDS = ["completed"] * 8 + ["failed", "released", "snoozed", "rejected"]


class Ledger:
    """What the clients know.

    Attributes:
        committed: Ids of events whose transaction was committed.
        undone: Ids of events that were rolled back.
        completed: How often a settlement of an event was answered "completed".
        errors: What should not have happened.
    """

    def __init__(self, *, prepares: bool) -> None:
        self.prepares = prepares
        self.lock = threading.Lock()
        self.committed: set[str] = set()
        self.undone: set[str] = set()
        self.completed: Counter[str] = Counter()
        self.stop = threading.Event()
        self.errors: list[str] = []

    def note(self, committed: set[str], undone: set[str]) -> None:
        with self.lock:
            self.committed |= committed
            self.undone |= undone


def event(event_id: str, to: str) -> dict[str, Any]:
    return {
        "id": event_id,
        "source": "test",
        "type": "com.test.happened",
        "subject": event_id[:3],
        "to": to,
        "data": {},
    }


class Client(threading.Thread):
    """A session that is cut off now and then, and connects again."""

    target = "stress"

    def __init__(self, dsn: str, ledger: Ledger, number: int) -> None:
        super().__init__(name=f"{type(self).__name__}-{number}", daemon=True)
        self.dsn = dsn
        self.ledger = ledger
        self.random = random.Random(SEED + number)
        self.count = 0

    def run(self) -> None:
        while not self.ledger.stop.is_set():
            try:
                with psycopg.connect(
                    self.dsn, autocommit=True, application_name=self.target
                ) as connection:
                    while not self.ledger.stop.is_set():
                        self.act(connection)
            except (psycopg.errors.AdminShutdown, psycopg.OperationalError) as error:
                if error.sqlstate not in (None, "57P01"):
                    self.ledger.errors.append(f"{self.name}: {error!r}")
            except (psycopg.Error, AssertionError) as error:
                self.ledger.errors.append(f"{self.name}: {error!r}")

    def act(self, connection: psycopg.Connection) -> None:
        raise NotImplementedError


class Producer(Client):
    """Dispatches: at once, late, twice per transaction, rolled back, in savepoints, prepared."""

    def new(self) -> str:
        self.count += 1
        return f"{self.name}-{self.count}"

    def put(self, connection: psycopg.Connection) -> str:
        event_id = self.new()
        connection.execute(
            "SELECT arvo_v1.dispatch(%s, %s::interval, %s)",
            [
                Jsonb(event(event_id, self.random.choice(list(QUEUES)))),
                self.random.choice([None, None, None, "200 ms", "1 second"]),
                self.random.choice([None, None, 7]),
            ],
        )
        return event_id

    def act(self, connection: psycopg.Connection) -> None:
        way = self.random.choice(["one", "many", "late", "undone", "savepoint", "prepared"])
        ids: set[str] = set()
        undone: set[str] = set()
        xid = None
        try:
            if way == "prepared" and self.ledger.prepares:
                self.prepare(connection)
                return
            with connection.transaction(force_rollback=way == "undone"):
                for _ in range(self.random.randint(1, 4)):
                    ids.add(self.put(connection))
                    if way == "savepoint":
                        with connection.transaction(force_rollback=True):
                            undone.add(self.put(connection))
                if way == "late":
                    self.ledger.stop.wait(self.random.random() / 4)
                xid = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        finally:
            # A session that is cut off in its COMMIT does not know how that ended.
            kept = way != "undone" and xid is not None and committed(self.dsn, *xid)
            self.ledger.note(ids if kept else set(), undone if kept else ids | undone)

    def prepare(self, connection: psycopg.Connection) -> None:
        ids: set[str] = set()
        gone = self.random.random() < 0.3
        name = f"stress-{self.name}-{self.count}"
        xid = None
        try:
            connection.execute("BEGIN")
            ids |= {self.put(connection), self.put(connection)}
            row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
            connection.execute(f"PREPARE TRANSACTION '{name}'")
            self.ledger.stop.wait(self.random.random() / 4)
            xid = row
            connection.execute(f"{'ROLLBACK' if gone else 'COMMIT'} PREPARED '{name}'")
        finally:
            with psycopg.connect(self.dsn, autocommit=True) as another:
                left = another.execute("SELECT 1 FROM pg_prepared_xacts WHERE gid = %s", [name])
                if left.fetchone():
                    another.execute(f"ROLLBACK PREPARED '{name}'")
            kept = not gone and xid is not None and committed(self.dsn, *xid)
            self.ledger.note(ids if kept else set(), set() if kept else ids)


def committed(dsn: str, xid: str) -> bool:
    """Whether a transaction that has reached its end, or soon will, was committed."""
    deadline = time.monotonic() + 10
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            status = connection.execute("SELECT pg_xact_status(%s::xid8)", [xid]).fetchone()
            if status != ("in progress",):
                return status == ("committed",)
            assert time.monotonic() < deadline, f"transaction {xid} does not end"
            time.sleep(0.01)


class Consumer(Client):
    """Settles: in time, late, twice, never, in part, under wrong tokens; beats its heart or not."""

    def act(self, connection: psycopg.Connection) -> None:
        queues = self.random.sample(list(QUEUES), k=len(QUEUES))
        taken = connection.execute(
            "SELECT lease, delivery, event ->> 'id'"
            " FROM arvo_v1.claim(%s, %s, %s, NULL, '1 second')",
            [queues, self.random.choice([1, 2, 10, 50]), self.name],
        ).fetchall()
        if not taken:
            self.ledger.stop.wait(0.02)
            return
        habit = self.random.choice(
            ["good"] * 8 + ["late", "twice", "never", "part", "wrong", "beat", "undone"]
        )
        if habit == "never":
            return
        if habit == "late":
            self.ledger.stop.wait(0.9 + self.random.random() / 2)
        if habit == "beat":
            connection.execute("SELECT arvo_v1.extend(%s, '1 second')", [[taken[0][0]]])
            self.ledger.stop.wait(0.2)
        if habit == "part":
            taken = taken[: len(taken) // 2]
        items = [
            {
                "lease": lease ^ (habit == "wrong"),
                "delivery": delivery,
                "outcome": self.random.choice(ENDS),
                "after": 0.1,
            }
            for lease, delivery, _ in taken
        ]
        for _ in range(2 if habit == "twice" else 1):
            self.settle(connection, items, {t[1]: t[2] for t in taken}, habit)

    def settle(
        self,
        connection: psycopg.Connection,
        items: list[dict[str, Any]],
        names: dict[int, str],
        habit: str,
    ) -> None:
        with connection.transaction(force_rollback=habit == "undone"):
            verdicts = connection.execute(
                "SELECT delivery, outcome FROM arvo_v1.settle(%s)", [Jsonb(items)]
            ).fetchall()
        if habit == "wrong":
            assert {outcome for _, outcome in verdicts} <= {"refused"}, verdicts
        if habit != "undone":
            with self.ledger.lock:
                self.ledger.completed.update(
                    names[delivery] for delivery, outcome in verdicts if outcome == "completed"
                )


class Villain(Client):
    """Maintains, and cuts off other sessions."""

    target = "villain"

    def act(self, connection: psycopg.Connection) -> None:
        connection.execute("SELECT * FROM arvo_v1.maintain()")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND application_name = 'stress' ORDER BY random() LIMIT 1"
        )
        self.ledger.stop.wait(0.15)


def drain(connection: psycopg.Connection, seconds: float) -> Counter[str]:
    """Complete what is left, until nothing is open any more."""
    completed: Counter[str] = Counter()
    deadline = time.monotonic() + seconds
    while True:
        connection.execute("SELECT * FROM arvo_v1.maintain()")
        taken = connection.execute(
            "SELECT lease, delivery, event ->> 'id' FROM arvo_v1.claim(%s, 1000)", [list(QUEUES)]
        ).fetchall()
        items = [{"lease": t[0], "delivery": t[1], "outcome": "completed"} for t in taken]
        verdicts = connection.execute(
            "SELECT outcome FROM arvo_v1.settle(%s)", [Jsonb(items)]
        ).fetchall()
        assert {outcome for (outcome,) in verdicts} <= {"completed"}
        completed.update(t[2] for t in taken)
        left = connection.execute(
            "SELECT count(*) FROM stage.story WHERE place IN ('queued', 'deferred', 'leased')"
        ).fetchone()
        if left == (0,):
            return completed
        assert time.monotonic() < deadline, f"{left} deliveries are never handed out"
        time.sleep(0.05)


@pytest.mark.timeout(int(SECONDS) * 4 + 120)
@pytest.mark.parametrize("prepares", [False, True], ids=["plain", "prepared transactions"])
def test_every_committed_event_ends_once_and_no_other_does(prepares, stage, dsn):
    if prepares:
        if stage.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
            pytest.skip("the server has max_prepared_transactions = 0")
        # PostgreSQL refuses to prepare a transaction that notifies, and dispatch notifies.
        stage.execute(
            "CREATE OR REPLACE FUNCTION arvo.wake(p_queues text[]) RETURNS void"
            " LANGUAGE sql VOLATILE AS 'SELECT'"
        )
    for queue, limit in QUEUES.items():
        stage.execute(
            "SELECT arvo_v1.register_queue(%s, p_retry_limit => %s, p_retry_delay => '50 ms')",
            [queue, limit],
        )
    ledger = Ledger(prepares=prepares)
    clients: list[Client] = [
        *(Producer(dsn, ledger, number) for number in range(4)),
        *(Consumer(dsn, ledger, number) for number in range(10, 14)),
        Villain(dsn, ledger, 20),
    ]
    for client in clients:
        client.start()
    ledger.stop.wait(SECONDS)
    ledger.stop.set()
    for client in clients:
        client.join(30)
        assert not client.is_alive(), f"{client.name} hangs"
    assert ledger.errors == []

    drained = drain(stage, 30)
    faults = [fault for (fault,) in stage.execute("SELECT stage.faults()")]
    assert faults == [], f"seed {SEED}"
    ended = Counter(
        row[0]
        for row in stage.execute(
            "SELECT event_id FROM stage.story WHERE place = 'completed'"
            " UNION ALL SELECT event_id FROM arvo.dead"
        )
    )
    assert ledger.committed - ended.keys() == set(), f"lost; seed {SEED}"
    assert ended.keys() & ledger.undone == set(), f"from rolled-back transactions; seed {SEED}"
    assert ended.keys() == ledger.committed, f"from nowhere; seed {SEED}"
    assert set(ended.values()) <= {1}, f"twice; seed {SEED}"
    known = ledger.completed + drained
    assert set(known.values()) <= {1}, f"completed twice; seed {SEED}"
    assert len(ended) > 100
    assert len(ledger.undone) > 10
