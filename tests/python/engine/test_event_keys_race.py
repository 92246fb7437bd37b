"""The log and its keys turn to the next slot amid a crowd that dispatches the same events.

In each isolation level, alone or in arrays, committed, undone or prepared first: of each event that
was committed there is one delivery, whoever was told "duplicate" was told that one, and errors are
those that a client answers with trying again (class 40).
"""

import os
import random
import secrets
import threading
from collections import defaultdict

import psycopg
import pytest
from psycopg.types.json import Jsonb

from .conftest import START, event

SEED = int(os.environ.get("ARVO_STRESS_SEED", "0")) or secrets.randbits(32)
ROUNDS, THREADS, CALLS, IDS = 4, 6, 25, 120
HOLDERS = 3  # threads whose third transaction keeps a snapshot over the turn
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
RESET = "SELECT stage.begin_generations('2029-12-01T00:00:00Z')"
PUT = "SELECT event_id, outcome, delivery FROM arvo_v1.dispatch_many(%s)"


class Round:
    """What the clients of one round were told.

    Attributes:
        accepted: By event, deliveries that were committed.
        duplicates: By event, deliveries that others were told of.
        retried: How often a transaction was refused with class 40.
        errors: What should not have happened.
    """

    def __init__(self, dsn, number):
        self.dsn, self.number = dsn, number
        self.lock = threading.Lock()
        self.accepted, self.duplicates = defaultdict(list), defaultdict(set)
        self.retried = 0
        self.errors = []
        self.begun = threading.Semaphore(0)
        self.turned = threading.Event()

    def client(self, number):
        chance = random.Random(SEED + 1000 * self.number + number)
        options = f"-c arvo.frozen_clock={START}"
        with psycopg.connect(self.dsn, autocommit=True, options=options) as connection:
            for call in range(CALLS):
                try:
                    holds = number < HOLDERS and call == 2
                    self.act(connection, chance, f"{self.number}-{number}-{call}", holds=holds)
                except psycopg.Error as error:
                    if not (error.sqlstate or "").startswith("40"):
                        self.errors.append(f"{error!r} {error.diag.context}")
                    connection.execute("ROLLBACK")
                    self.retried += 1
                self.begun.release()

    def act(self, connection, chance, name, *, holds):
        shared = chance.sample(range(IDS), k=chance.choice((1, 1, 3)))
        ids = [f"{self.number}/{one}" for one in shared]
        if chance.random() < 0.3:
            ids += [f"{name}/{one}" for one in range(100)]
        ends = chance.choice(("commit", "commit", "undo", "prepare", "prepare and undo"))
        level = chance.choice(LEVELS[1:] if holds else LEVELS)
        connection.execute(f"BEGIN ISOLATION LEVEL {level}")
        connection.execute("SELECT 1")  # the snapshot of the two that keep it
        self.pause(chance)
        if holds:
            assert self.turned.wait(60)
            ids = [f"{self.number}/{chance.choice(self.known())}"]
        if len(ids) == 1:
            statement = "SELECT event_id, outcome, delivery FROM arvo_v1.dispatch(%s)"
            rows = connection.execute(statement, [Jsonb(event(ids[0]))]).fetchall()
        else:
            rows = connection.execute(PUT, [Jsonb([event(one) for one in ids])]).fetchall()
        self.pause(chance)
        if ends.startswith("prepare"):
            connection.execute(f"PREPARE TRANSACTION '{name}'")
            self.pause(chance)
            undone = ends.endswith("undo")
            connection.execute(f"{'ROLLBACK' if undone else 'COMMIT'} PREPARED '{name}'")
        else:
            connection.execute("ROLLBACK" if ends == "undo" else "COMMIT")
        if ends in {"commit", "prepare"}:
            with self.lock:
                for event_id, outcome, delivery in rows:
                    if outcome == "queued":
                        self.accepted[event_id].append(delivery)
                    else:
                        self.duplicates[event_id].add(delivery)
                    if outcome not in {"queued", "duplicate"}:
                        self.errors.append(f"{event_id} is {outcome}")

    def known(self):
        """Events that were committed, the newest last."""
        with self.lock:
            names = [name.partition("/") for name in self.accepted]
        return [int(one) for number, _, one in names if number == str(self.number)][-10:]

    def pause(self, chance):
        threading.Event().wait(chance.choice((0, 0, 0.01, 0.03)))


@pytest.mark.timeout(240)
def test_a_turn_in_a_crowd_lets_no_duplicate_in(stage, dsn, actors):
    if stage.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
        pytest.skip("the server has max_prepared_transactions = 0")
    judge = actors()
    judge.register("q", deduplicate_for="1 day")
    told, retried = 0, 0
    for number in range(ROUNDS):
        stage.execute(RESET)
        crowd = Round(dsn, number)
        threads = [threading.Thread(target=crowd.client, args=[one]) for one in range(THREADS)]
        for thread in threads:
            thread.start()
        for _ in range(THREADS * CALLS // 3):
            assert crowd.begun.acquire(timeout=60)
        turned = judge.ask("SELECT touched FROM arvo_v1.maintain() WHERE task = 'opened'")
        assert turned == [(1,)], f"seed {SEED}"
        crowd.turned.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), f"hangs; seed {SEED}"
        assert crowd.errors == [], f"seed {SEED}"
        twice = {name: all_ for name, all_ in crowd.accepted.items() if len(all_) > 1}
        assert twice == {}, f"seed {SEED}"
        first = {name: set(all_) for name, all_ in crowd.accepted.items()}
        wrong = {n: all_ for n, all_ in crowd.duplicates.items() if all_ != first.get(n)}
        assert wrong == {}, f"seed {SEED}"
        stored = stage.execute(
            "SELECT event ->> 'id', array_agg(delivery) FROM arvo.log"
            " WHERE starts_with(event ->> 'id', %s) AND lane > 0 GROUP BY 1",
            [f"{number}/"],
        ).fetchall()
        assert dict(stored) == {
            name: all_ for name, all_ in crowd.accepted.items() if name.startswith(f"{number}/")
        }, f"seed {SEED}"
        told += len(crowd.duplicates)
        retried += crowd.retried
    assert told > 20
    assert retried > 5
    assert judge.faults() == []
