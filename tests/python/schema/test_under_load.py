"""Migrations under traffic: nothing is lost, and nobody waits for long.

Clients of the generation before, whose calls are frozen in generation3.py, work on while the
database goes to the newest schema, back to theirs, and forward again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from arvo_plpg import errors
from arvo_plpg.event_factory import create_arvo_event
from arvo_plpg.schema import doctor, migrate, rollback
from arvo_plpg.schema.tree import SqlTree
from arvo_plpg.sync import Broker
from tests.python.schema.generation3 import CLAIM, DISPATCH, EXTEND, REGISTER, SETTLE, WORK, Client

THIRD = 3
QUEUE = "com.example.task"
LEASE = "8 seconds"
HOT = ("log", "lease", "closure", "deferred", "queue", "lane")
HELD = f"""
    SELECT min(pid) FROM pg_locks
    WHERE mode = 'AccessExclusiveLock' AND granted AND relation = ANY (
        ARRAY[{", ".join(f"to_regclass('arvo.{name}')" for name in HOT)}]::oid[]
    )
"""

WANTED = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'arvo.lease'::regclass"


class Traffic:
    """Two threads that dispatch and two that work, of the old client; and what they saw."""

    def __init__(self, dsn):
        self.dsn = dsn
        self.accepted = set()
        self.outcomes = Counter()
        self.runs = Counter()
        self.trouble = []
        self.repeated = Counter()
        self.longest = 0.0
        self._full = threading.Event()
        self._threads = [
            threading.Thread(target=self._guard, args=(part, number), daemon=True)
            for number, part in enumerate((self._dispatch, self._dispatch, self._work, self._claim))
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._full.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)

    def goes_on(self):
        """A condition: some more has been done since now, or there is trouble."""
        before = self.outcomes.total()
        return lambda: self.trouble or self.outcomes.total() > before + 20

    def _guard(self, part, number):
        with contextlib.closing(Client(self.dsn)) as client:
            try:
                part(client, number)
            except Exception as error:  # noqa: BLE001 - the test asserts that there was none
                self.trouble.append(f"{type(error).__name__}: {error}")
            self.repeated.update(client.repeated)

    def _timed(self, client, query, *arguments):
        began = time.monotonic()
        try:
            return client.call(query, *arguments)
        finally:
            self.longest = max(self.longest, time.monotonic() - began)

    def _dispatch(self, client, number):
        sent = 0
        while not self._full.wait(0.004):
            sent += 1
            event = create_arvo_event(
                source="com.example.client",
                type="com.example.task.done",
                subject=f"task/{number}",
                to=QUEUE,
                id=f"{number}-{sent}",
                data={"number": sent},
            )
            ((_, event_id, *_, outcome),) = self._timed(
                client, DISPATCH, json.dumps(event.to_dict())
            )
            # Made again after its answer was lost, it is a duplicate: it had been accepted.
            assert outcome in {"queued", "duplicate"}
            self.accepted.add(event_id)

    def _finished(self):
        return self._full.is_set() and self.outcomes.total() >= len(self.accepted)

    def _work(self, client, number):
        running = {}
        until = time.monotonic() + 110
        while not self._finished() or running:
            assert time.monotonic() < until
            results = [
                {"lease": lease, "delivery": delivery, "outcome": "completed"}
                for lease, delivery in running
            ]
            answers = self._timed(
                client, WORK, json.dumps(results), [QUEUE], 20, f"worker{number}", LEASE
            )
            refused = {(row[1], row[2]) for row in answers if row[0] == "settled"}
            for place, event_id in running.items():
                if place not in refused:
                    self.outcomes[event_id] += 1
            running = {(row[1], row[2]): row[9]["id"] for row in answers if row[0] == "claimed"}
            self.runs.update(running.values())
            if not running:
                time.sleep(0.005)

    def _claim(self, client, number):
        until = time.monotonic() + 110
        while not self._finished():
            assert time.monotonic() < until
            rows = self._timed(client, CLAIM, [QUEUE], 10, f"worker{number}", LEASE)
            self.runs.update(row[6]["id"] for row in rows)
            if not rows:
                time.sleep(0.005)
                continue
            ((_, held, *_),) = self._timed(client, EXTEND, [rows[0][0]], LEASE)
            assert held
            results = [
                {"lease": row[0], "delivery": row[1], "outcome": "completed"} for row in rows
            ]
            verdicts = self._timed(client, SETTLE, json.dumps(results))
            for row, verdict in zip(rows, verdicts, strict=True):
                if verdict[4] in {"completed", "already"}:
                    self.outcomes[row[6]["id"]] += 1


def processor_seconds(pid):
    """What a process has used of the processor; the time, where that cannot be seen.

    None: it is no more.
    """
    if not Path("/proc/self/stat").exists():
        return time.monotonic()
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Looks, again and again, for how long somebody shuts others out of a hot table.

    Attributes:
        longest: in seconds.
        busiest: in seconds of the processor, which is the same on a machine that does nothing else.
    """

    def __init__(self, dsn):
        self.longest = 0.0
        self.busiest = 0.0
        self._over = threading.Event()
        self._dsn = dsn
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(10)

    def _look(self):
        since = None
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._over.wait(0.003):
                ((pid,),) = connection.execute(HELD).fetchall()
                if pid is None:
                    since = None
                    continue
                now, used = time.monotonic(), processor_seconds(pid)
                if used is None:
                    since = None
                    continue
                since = since or (now, used)
                self.longest = max(self.longest, now - since[0])
                self.busiest = max(self.busiest, used - since[1])


@pytest.fixture
def third(dsn):
    """A database of revision 3 with a queue."""
    migrate(dsn, to=THIRD, after=True)
    with contextlib.closing(Client(dsn)) as client:
        client.call(REGISTER, QUEUE, 2)
    return dsn


def go(dsn, number, now):
    if number > now:
        return migrate(dsn, to=number, after=True)
    return rollback(dsn, to=number, yes_lose_data=True)


def test_the_client_before_works_on_while_the_schema_goes_up_and_down(
    third, until, record_property
):
    newest = SqlTree.find().migrations()[-1].number
    steps = [*range(THIRD + 1, newest + 1), THIRD, newest]
    now = THIRD
    with Traffic(third) as traffic, Watch(third) as watch:
        for number in steps:
            until(traffic.goes_on(), "work goes on")
            assert go(third, number, now)
            now = number
        until(traffic.goes_on(), "work goes on")

    assert traffic.trouble == []
    assert len(traffic.accepted) > 20 * len(steps)
    assert set(traffic.outcomes) == traffic.accepted
    assert set(traffic.outcomes.values()) == {1}
    # A call that was made again after it had claimed would leave a lease that lapses: none did.
    assert traffic.runs == traffic.outcomes
    assert watch.longest > 0
    assert watch.busiest < 1
    assert doctor(third).findings == []
    figures = {
        "events": len(traffic.accepted),
        "migrations": len(steps),
        "longest lock of a hot table, s": round(watch.longest, 3),
        "processor time under it, s": round(watch.busiest, 3),
        "longest wait of a client, s": round(traffic.longest, 3),
        "calls made again": dict(traffic.repeated),
    }
    record_property("under load", json.dumps(figures))
    sys.stdout.write(f"{json.dumps(figures)}\n")


def test_a_migration_steps_back_for_a_long_transaction_and_lets_others_through(third):
    event = create_arvo_event(
        source="com.example.client", type="com.example.task", subject="task", to=QUEUE, data={}
    )
    done = []
    with psycopg.connect(third) as long, contextlib.closing(Client(third)) as other:
        long.execute("LOCK TABLE arvo.lease IN ROW EXCLUSIVE MODE")
        runner = threading.Thread(
            target=lambda: done.extend(migrate(third, to=THIRD + 1, wait=60)), daemon=True
        )
        runner.start()
        tried = 0
        deadline = time.monotonic() + 60
        while tried < 3:  # it wants the table, and gives up, three times
            assert time.monotonic() < deadline
            if other.call(WANTED):
                tried += 1
                # Once it has stepped back: with five seconds of patience it would outlast these.
                other.connection.execute("SET statement_timeout = '4s'")
                other.call(DISPATCH, json.dumps(event.to_dict()))
                other.call(CLAIM, [QUEUE], 1, "worker", LEASE)
        assert runner.is_alive()
        long.rollback()
        runner.join(60)
    assert done == ["0004.before.fast-and-flat"]


def test_a_run_gives_up_when_a_table_cannot_be_had(third):
    with psycopg.connect(third) as long:
        long.execute("LOCK TABLE arvo.lease IN ROW EXCLUSIVE MODE")
        with pytest.raises(errors.MigrationFailed, match=r"55P03[\s\S]*in use"):
            migrate(third, to=THIRD + 1, wait=0.5)
    assert migrate(third, to=THIRD + 1)


def test_the_client_of_today_makes_a_call_again_that_met_a_migration(third):
    """A type that is gone and there again is what a call meets that had begun before."""
    migrate(third, after=True)
    with psycopg.connect(third, autocommit=True) as connection:
        connection.execute(
            "CREATE SEQUENCE public.met;"
            "CREATE OR REPLACE FUNCTION arvo_v1.about() RETURNS arvo_v1.about LANGUAGE plpgsql AS"
            " $$ BEGIN IF nextval('public.met') < 3 THEN RAISE EXCEPTION 'gone'"
            " USING ERRCODE = '42846'; END IF; RETURN NULL; END $$"
        )
        broker = Broker(connection)
        broker.about()
        assert connection.execute("SELECT last_value FROM public.met").fetchone() == (3,)
        connection.execute("SELECT setval('public.met', 1, false)")
        with pytest.raises(psycopg.errors.CannotCoerce), connection.transaction():
            broker.about()
        assert connection.execute("SELECT last_value FROM public.met").fetchone() == (1,)
