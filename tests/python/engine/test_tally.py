"""Figures of queues against a count of everything, over random histories of several sessions.

ARVO_TALLY_HISTORIES sets how many are tried. Transactions commit late, roll back, promote and tally
in one; deliveries are parked and come out again by hand, as claims of gated queues do it.
"""

import os
import random
from typing import Any

import psycopg
import pytest

HISTORIES = int(os.environ.get("ARVO_TALLY_HISTORIES", "12"))
STEPS = 60
QUEUES = ("a", "b")
PRIORITIES = (None, 5)

# What is there, told from the rooms alone, without cursors, windows or tallies.
TRUTH = """
WITH leased AS (SELECT DISTINCT gone FROM arvo.lease, unnest(deliveries) AS gone),
closed AS (SELECT gone FROM arvo.closure, unnest(deliveries) AS gone)
SELECT queue.name,
    (SELECT count(*) FROM arvo.deferred JOIN arvo.lane USING (lane)
     WHERE lane.queue = queue.queue
     AND NOT EXISTS (SELECT FROM arvo.log WHERE log.delivery = deferred.delivery)),
    (SELECT count(*) FROM arvo.log JOIN arvo.lane USING (lane)
     WHERE lane.queue = queue.queue
     AND log.delivery NOT IN (SELECT gone FROM leased)
     AND log.delivery NOT IN (SELECT delivery FROM arvo.parked)
     AND log.delivery NOT IN (SELECT delivery FROM arvo.tombstone)),
    (SELECT count(*) FROM arvo.parked WHERE parked.queue = queue.queue
     AND parked.delivery NOT IN (SELECT delivery FROM arvo.tombstone)),
    (SELECT count(*) FROM arvo.log JOIN arvo.lane USING (lane)
     WHERE lane.queue = queue.queue
     AND log.delivery IN (SELECT gone FROM leased EXCEPT SELECT gone FROM closed)),
    (SELECT count(*) FROM arvo.dead WHERE dead.queue = queue.name AND resolution IS NULL),
    (SELECT count(*) FROM arvo.log JOIN arvo.lane USING (lane) WHERE lane.queue = queue.queue)
    + (SELECT count(*) FROM arvo.deferred JOIN arvo.lane USING (lane)
       WHERE lane.queue = queue.queue
       AND NOT EXISTS (SELECT FROM arvo.log WHERE log.delivery = deferred.delivery))
FROM arvo.queue ORDER BY queue.name COLLATE "C"
"""
TOLD = """
SELECT name, deferred_count, queued_count, waiting_count, active_count, dead_count, total_count
FROM arvo_v1.queue_stats()
"""
# The same without the bound below which everything is counted: carried on from tallies only.
CARRIED = """
SELECT queue.name,
    sum(figures.deferred)::bigint,
    sum(figures.unread)::bigint - (SELECT count(*) FROM arvo.tombstone JOIN arvo.lane USING (lane)
        WHERE lane.queue = queue.queue
        AND tombstone.delivery NOT IN (SELECT delivery FROM arvo.parked)),
    sum(figures.parked)::bigint - (SELECT count(*) FROM arvo.tombstone JOIN arvo.lane USING (lane)
        WHERE lane.queue = queue.queue
        AND tombstone.delivery IN (SELECT delivery FROM arvo.parked)),
    sum(figures.kept + figures.deferred)::bigint
FROM arvo.queue JOIN arvo.lane ON lane.queue = queue.queue
CROSS JOIN LATERAL (SELECT newest AS head FROM arvo.lease AS newest WHERE newest.lane = lane.lane
    ORDER BY newest.number DESC LIMIT 1) AS cursor
LEFT JOIN LATERAL (SELECT newest AS tally FROM arvo.tally AS newest WHERE newest.lane = lane.lane
    ORDER BY newest.number DESC LIMIT 1) AS last ON true
CROSS JOIN LATERAL arvo.count_lane(head, tally, p_most => %s) AS figures
GROUP BY queue.queue, queue.name ORDER BY queue.name COLLATE "C"
"""
# Puts the newest lease's deliveries from the second on into arvo.parked instead.
PARK = """
WITH newest AS (
    SELECT lease.* FROM arvo.lease JOIN arvo.lane USING (lane) JOIN arvo.queue USING (queue)
    WHERE queue.name = %s AND token = %s AND NOT carried AND cardinality(deliveries) > 1
    AND NOT EXISTS (SELECT FROM arvo.closure WHERE closure.token = lease.token)
), moved AS (
    UPDATE arvo.lease SET deliveries = lease.deliveries[1:1]
    FROM newest WHERE lease.lane = newest.lane AND lease.number = newest.number
)
INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
SELECT lane.queue, 1, gone, gone, newest.lane, log.xid, log.at
FROM newest JOIN arvo.lane USING (lane) CROSS JOIN unnest(newest.deliveries[2:]) AS gone
JOIN arvo.log ON log.delivery = gone
"""
# Leases one parked delivery, in its own lane.
UNPARK = """
WITH gone AS (
    DELETE FROM arvo.parked WHERE delivery = (SELECT min(delivery) FROM arvo.parked
        WHERE delivery NOT IN (SELECT delivery FROM arvo.tombstone))
    RETURNING lane, delivery, xid
)
INSERT INTO arvo.lease (slot, lane, number, token, leased_at, expires_at, deliveries, low_xid,
    high_xid, previous_snapshot, snapshot, last_xid, last_delivery, exhausted, open_from, sweep_at)
SELECT arvo.slot(), head.lane, head.number + 1, (nextval('arvo.lease_number') << 12), arvo.clock(),
    greatest(head.expires_at, arvo.clock() + interval '1 day'), ARRAY[gone.delivery], gone.xid,
    gone.xid, head.previous_snapshot, head.snapshot, head.last_xid, head.last_delivery,
    head.exhausted, head.open_from, head.sweep_at
FROM gone CROSS JOIN LATERAL (
    SELECT * FROM arvo.lease WHERE lane = gone.lane ORDER BY number DESC LIMIT 1) AS head
RETURNING token, deliveries[1]
"""
WITHDRAW = """
INSERT INTO arvo.tombstone (lane, delivery, at)
SELECT lane, delivery, arvo.clock() FROM (
    SELECT lane, delivery FROM arvo.parked
    UNION ALL
    SELECT lane, delivery FROM arvo.log
    WHERE delivery NOT IN (SELECT gone FROM arvo.lease, unnest(deliveries) AS gone)
    AND delivery NOT IN (SELECT delivery FROM arvo.parked)
) AS waiting
WHERE delivery NOT IN (SELECT delivery FROM arvo.tombstone)
ORDER BY delivery LIMIT 1 OFFSET %s
"""


class History:
    """Random steps of a few sessions on one database."""

    def __init__(self, seed: int, actors: Any) -> None:
        self.dice = random.Random(seed)
        self.clock = 0
        self.sessions = [actors() for _ in range(3)]
        self.open: set[int] = set()
        self.count = 0
        self.held: list[tuple[str, int, int]] = []
        for queue in QUEUES:
            self.sessions[0].register(queue, retry_limit=1, retry_delay="5 seconds")

    def session(self) -> Any:
        return self.dice.choice(self.sessions)

    def idle(self) -> Any:
        """A session without a transaction: claims and settlements are made one after another."""
        free = [s for n, s in enumerate(self.sessions) if n not in self.open]
        return self.dice.choice(free) if free else None

    def tick(self) -> None:
        self.clock += self.dice.choice((1, 5, 40))
        for session in self.sessions:
            if session.connection.info.transaction_status == 0:
                session.freeze(f"2030-01-01T{self.clock // 3600:02}:{self.clock // 60 % 60:02}:"
                               f"{self.clock % 60:02}Z")  # fmt: skip

    def dispatch(self) -> None:
        session = self.session()
        for _ in range(self.dice.choice((1, 1, 4))):
            self.count += 1
            session.ask(
                "SELECT count(*) FROM arvo_v1.dispatch(stage.event(%s, %s), %s::interval, %s)",
                f"e{self.count}", self.dice.choice(QUEUES),
                self.dice.choice((None, None, "3 seconds", "1 hour")),
                self.dice.choice(PRIORITIES),
            )  # fmt: skip

    def begin_or_end(self) -> None:
        number = self.dice.randrange(1, len(self.sessions))
        connection = self.sessions[number].connection
        if number in self.open:
            self.dice.choice((connection.commit, connection.commit, connection.rollback))()
            connection.autocommit = True
            self.open.discard(number)
        else:
            connection.autocommit = False
            self.open.add(number)

    def claim(self) -> None:
        if session := self.idle():
            queue = self.dice.choice(QUEUES)
            for token, delivery, *_ in session.take(self.dice.choice((1, 3, 10)), queue):
                self.held.append((queue, token, delivery))

    def settle(self) -> None:
        if self.held and (session := self.idle()):
            _, token, delivery = self.held.pop(self.dice.randrange(len(self.held)))
            outcome = self.dice.choice(("completed", "completed", "failed", "released"))
            session.settle({"lease": token, "delivery": delivery, "outcome": outcome})

    def extend(self) -> None:
        if self.held and (session := self.idle()):
            session.extend(self.dice.choice(self.held)[1], lasts="60 seconds")

    def park(self) -> None:
        if session := self.idle():
            queue = self.dice.choice(QUEUES)
            if taken := session.take(5, queue, "5 minutes"):
                session.connection.execute(PARK, (queue, taken[0][0]))
                for token, delivery, *_ in taken:
                    self.held.append((queue, token, delivery))

    def unpark(self) -> None:
        if session := self.idle():
            for token, delivery in session.ask(UNPARK):
                self.held.append(("", token, delivery))

    def withdraw(self) -> None:
        if session := self.idle():
            session.connection.execute(WITHDRAW, (self.dice.randrange(3),))

    def tally(self) -> None:
        if session := self.idle():
            most = self.dice.choice((0, 0, 2, 10_000))
            with session.connection.transaction():
                if self.dice.random() < 0.5:  # what the same transaction promotes and appends
                    session.ask("SELECT arvo.promote()")
                    session.put(f"t{self.count}", "a")
                    # Numbers go on meanwhile: the own one is below the end of the next snapshot.
                    other = self.sessions[1] if session is self.sessions[0] else self.sessions[0]
                    other.ask("SELECT pg_current_xact_id()")
                session.ask("SELECT count(arvo.tally_lane(lane, %s)) FROM arvo.lane", most)
                if self.dice.random() < 0.5:
                    session.put(f"u{self.count}", "a")
                    self.count += 1

    def maintain(self) -> None:
        if session := self.idle():
            session.ask("SELECT count(*) FROM arvo_v1.maintain()")
            if self.dice.random() < 0.5:
                session.ask("SELECT arvo.tally_lanes()")

    def step(self) -> str:
        name = self.dice.choice(
            ("dispatch",) * 5 + ("begin_or_end",) * 3 + ("claim",) * 3 + ("settle",) * 3
            + ("tally",) * 3 + ("tick", "extend", "park", "park", "unpark", "unpark", "withdraw",
                                "maintain")
        )  # fmt: skip
        getattr(self, name)()
        return name


def figures(session: Any) -> tuple[Any, Any]:
    """What is told and what is true, in one transaction and by one snapshot."""
    with session.connection.transaction():
        session.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return session.ask(TOLD), session.ask(TRUTH)


def differences(seed: int, actors: Any) -> str | None:
    """What is told and what is true, where they differ first; None when they never do."""
    history = History(seed, actors)
    judge = actors()
    try:
        return first_difference(history, judge)
    finally:
        for session in (*history.sessions, judge):
            session.connection.close()


def first_difference(history: History, judge: Any) -> str | None:
    for step in range(STEPS):
        name = history.step()
        told, true = figures(judge)
        if told != true:
            return f"after step {step}, {name}: {told} is told, {true} is true"
        for most in (0, 2):
            with judge.connection.transaction():
                judge.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                carried, again = judge.ask(CARRIED, most), judge.ask(TRUTH)
            true = [(n, d, q, w, t) for n, d, q, w, _, _, t in again]
            if carried != true:
                return f"after step {step}, {name}: {carried} is carried, {true} is true"
    return None


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_figures_are_what_a_count_of_everything_finds(actors, seed):
    assert differences(seed, actors) is None


MUTANTS = {
    "promotion leaves no trace": ("promote", "due.options, due.xid", "due.options, NULL"),
    "late transactions are not counted": (
        "count_lane", "FROM pg_snapshot_xip(v_since) AS", "FROM pg_snapshot_xip('1:1:') AS",
    ),
    "what a snapshot lists as open is forgotten": (
        "frontier_of", "ARRAY(SELECT pg_snapshot_xip(p_snapshot))", "'{}'",
    ),
    "the own transaction is seen": (
        "tally_lane", "arvo.window_snapshot()", "pg_current_snapshot()",
    ),
    "what was just promoted is forgotten": (
        "count_lane", "WHERE pg_visible_in_snapshot(entry.deferred_xid, p_seen)", "WHERE false",
    ),
    "heartbeats lease again": ("count_lane", "AND NOT lease.carried", ""),
    "the last that was passed is not": (
        "count_passed", "<= (v_upto.from_xid", "< (v_upto.from_xid",
    ),
    "counted by rows, not by snapshots": (
        "count_lane", "p_seen IS NULL OR pg_visible_in_snapshot(entry.xid, p_seen)", "true",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_histories_find_what_is_wrong(actors, stage: psycopg.Connection, mutant):
    function, right, wrong = mutant
    ((text,),) = stage.execute(
        "SELECT pg_get_functiondef(oid) FROM pg_proc"
        " WHERE pronamespace = 'arvo'::regnamespace AND proname = %s",
        [function],
    ).fetchall()
    assert right in text
    stage.execute(text.replace(right, wrong).encode())
    for seed in range(20):
        if differences(seed, actors):
            return
        stage.execute("SELECT stage.clear()")
        stage.execute("TRUNCATE arvo.tally, arvo.parked")
    pytest.fail("twenty histories did not find it")


def test_a_lane_that_was_moved_by_hand_is_counted_anew(actors):
    ann = actors()
    ann.register("q")
    for number in range(5):
        ann.put(f"e{number}")
    ann.ask("SELECT arvo.tally_lanes()")
    ann.take(3)
    ann.ask(
        "DELETE FROM arvo.log WHERE delivery = (SELECT min(delivery) FROM arvo.log) RETURNING 1"
    )
    ann.ask("SELECT count(arvo.tally_lane(lane, NULL)) FROM arvo.lane")
    told = ann.ask(
        "SELECT name, queued_count, waiting_count, total_count FROM arvo_v1.queue_stats()"
    )
    assert told == [("q", 2, 0, 4)]


def test_an_emptied_slot_is_kept_no_more(actors, stage: psycopg.Connection):
    ann = actors()
    ann.register("q")
    for event in ("e1", "e2"):
        ann.put(event)
    ann.drain()
    ann.ask("SELECT arvo.tally_lanes()")
    stage.execute("INSERT INTO arvo.generation (slot, opened_at) VALUES (1, now())")
    ann.put("e3")
    ann.ask("SELECT arvo.tally_lanes()")
    stage.execute("TRUNCATE arvo.log_0, arvo.lease_0, arvo.closure_0")
    stage.execute("SELECT arvo.forget_slot(0::smallint)")
    ann.ask("SELECT count(*) FROM arvo.lease")
    assert stage.execute("SELECT kept FROM arvo.tally").fetchall() == [([0, 1, 0, 0],)]


def test_what_commits_late_is_tallied(actors):
    ann, bob = actors(), actors()
    ann.register()
    ann.ask("SELECT arvo.tally_lanes()")
    with bob.connection.transaction():
        bob.put("late")
        ann.put("x")
        assert ann.ask("SELECT arvo.tally_lanes()") == [(1,)]
    assert ann.ask("SELECT arvo.tally_lanes()") == [(1,)]
    assert ann.ask("SELECT unread FROM arvo.tally") == [(2,)]
    assert ann.ask("SELECT arvo.tally_lanes()") == [(0,)]
