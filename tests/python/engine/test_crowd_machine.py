"""The machine of test_machine.py among others: several connections, operators, and locks.

To its rules come: a producer whose transaction stays open while everything else goes on, and then
commits or rolls back; duplicates; a pause and its end; cancelling, also of what is running; what is
due later at once; locks, to the edge of their time. The dictionary tells what each of them answers.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import mutant
import psycopg
import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.python.engine.test_machine import EXAMPLES, QUEUES, SECONDS, Life, Machine, tell

MUTANTS = [one for one in mutant.load() if one.machine == "crowd"]
SUBJECTS = st.sampled_from(["s", "t"])
NAMES = st.sampled_from(sorted(QUEUES))


class CrowdMachine(Machine):
    """Two more sessions: a producer that leaves its transactions open, and an operator."""

    dsn: str

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, Life] | None = None
        self.emitted: set[str] = set()
        self.paused: set[str] = set()
        self.locks: dict[str, tuple[int, datetime]] = {}
        self.sessions = [psycopg.connect(self.dsn, autocommit=True) for _ in range(2)]
        self.producer, self.operator = self.sessions

    def teardown(self) -> None:
        for session in self.sessions:
            session.close()

    def set_clock(self, moment: datetime) -> None:
        super().set_clock(moment)
        for session in self.sessions:
            session.execute(
                "SELECT set_config('arvo.frozen_clock', %s, false)", [moment.isoformat()]
            )

    def operate(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.operator.execute(statement, arguments).fetchall()

    def settled(self, item: dict[str, Any]) -> tuple[str, str | None]:
        self.emitted |= {event["id"] for event in item.get("events", [])}
        return super().settled(item)

    @precondition(lambda self: self.open is None)
    @rule()
    def a_producer_begins(self) -> None:
        self.producer.execute("BEGIN")
        self.open = {}

    @precondition(lambda self: self.open is not None)
    @rule(queue=NAMES, after=st.sampled_from([0, 0, 5]))
    def a_producer_dispatches(self, queue: str, after: int) -> None:
        event_id = self.new()
        self.producer.execute(
            "SELECT arvo_v1.dispatch(stage.event(%s, %s), %s)",
            [event_id, queue, timedelta(seconds=after)],
        )
        assert self.open is not None
        until = self.now + timedelta(seconds=after) if after else None
        self.open[event_id] = Life(queue, "deferred" if after else "queued", until=until)

    @precondition(lambda self: self.open is not None)
    @rule(commits=st.booleans())
    def a_producer_ends(self, *, commits: bool) -> None:
        self.producer.execute("COMMIT" if commits else "ROLLBACK")
        assert self.open is not None
        self.lives |= self.open if commits else {}
        self.open = None

    @precondition(lambda self: self.lives.keys() - self.emitted)
    @rule(data=st.data())
    def dispatch_a_duplicate(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(sorted(self.lives.keys() - self.emitted)))
        queue = self.lives[event_id].queue
        assert self.ask(
            "SELECT outcome FROM arvo_v1.dispatch(stage.event(%s, %s))", event_id, queue
        ) == [("duplicate",)]

    @rule(queue=NAMES, limit=st.sampled_from([1, 2, 5]), lease=SECONDS)
    def claim(self, queue: str, limit: int, lease: int) -> None:
        if queue not in self.paused:
            super().claim(queue=queue, limit=limit, lease=lease)
            return
        self.promote()
        assert self.ask("SELECT lease FROM arvo_v1.claim(%s, %s)", [queue], limit) == []
        self.see_expired(queue)

    @rule(queue=NAMES, pauses=st.booleans())
    def pause_or_resume(self, queue: str, *, pauses: bool) -> None:
        verb, word = ("pause_queue", "paused") if pauses else ("resume_queue", "resumed")
        ((change,),) = self.operate(f"SELECT change FROM arvo_v1.{verb}(%s)", queue)
        assert change == ("unchanged" if pauses == (queue in self.paused) else word)
        self.paused = self.paused | {queue} if pauses else self.paused - {queue}

    @precondition(lambda self: self.lives)
    @rule(data=st.data(), running=st.booleans())
    def cancel(self, data: st.DataObject, *, running: bool) -> None:
        event_id = data.draw(st.sampled_from(sorted(self.lives)))
        life = self.lives[event_id]
        if life.place == "dead":
            return
        told = self.operate(
            "SELECT place, done FROM arvo_v1.cancel(p_event_id => %s, p_include_running => %s)",
            event_id,
            running,
        )
        if life.place in {"completed", "cancelled"}:
            assert told == []
            return
        left = life.place == "leased" and not running
        # What is due has been promoted, or will be: both are told, and both are cancelled.
        places = {life.place, "queued"} if life.place == "deferred" else {life.place}
        assert [done for _, done in told] == ["left" if left else "cancelled"]
        assert told[0][0] in places
        if not left:
            if life.place == "leased":
                self.stale.append((life.lease, life.delivery, event_id))
            self.lives[event_id] = Life(life.queue, "cancelled", life.attempt)

    @rule(queue=NAMES)
    def retry_now(self, queue: str) -> None:
        rows = self.operate("SELECT event_id FROM arvo_v1.retry_now(p_queue => %s)", queue)
        waiting = {
            event_id: life
            for event_id, life in self.lives.items()
            if (life.queue, life.place) == (queue, "deferred")
        }
        assert {row[0] for row in rows} == waiting.keys()
        for event_id, life in waiting.items():
            self.lives[event_id] = replace(life, place="queued", until=None)

    @rule(subject=SUBJECTS, seconds=SECONDS)
    def lock(self, subject: str, seconds: int) -> None:
        rows = self.operate(
            "SELECT token, expires_at FROM arvo_v1.acquire_lock(%s, %s)",
            subject,
            timedelta(seconds=seconds),
        )
        was = self.locks.get(subject)
        if was and was[1] > self.now:
            assert rows == []
            return
        ((token, until),) = rows
        assert until == self.now + timedelta(seconds=seconds)
        assert not was or token > was[0]
        self.locks[subject] = (token, until)
        self.edges.add(until)

    @precondition(lambda self: self.locks)
    @rule(data=st.data(), stale=st.booleans(), renews=st.booleans())
    def renew_or_release(self, data: st.DataObject, *, stale: bool, renews: bool) -> None:
        subject = data.draw(st.sampled_from(sorted(self.locks)))
        token, until = self.locks[subject]
        verb = "renew_lock(%s, %s, '5 seconds')" if renews else "release_lock(%s, %s)"
        ((done,),) = self.ask(f"SELECT arvo_v1.{verb}", subject, token - stale)
        assert done == (not stale and (not renews or until > self.now))
        if done and renews:
            self.locks[subject] = (token, self.now + timedelta(seconds=5))
            self.edges.add(self.locks[subject][1])
        elif done:
            del self.locks[subject]

    @precondition(lambda self: self.locks)
    @rule(data=st.data())
    def write_under_a_lock(self, data: st.DataObject) -> None:
        subject = data.draw(st.sampled_from(sorted(self.locks)))
        token, until = self.locks[subject]
        version = self.versions.get(subject, 0)
        statement = "SELECT arvo_v1.write_state(%s, '{}', %s, p_lock => %s)"
        if until > self.now:
            assert self.ask(statement, subject, version, token) == [(version + 1,)]
            self.versions[subject] = version + 1
        else:
            with pytest.raises(psycopg.Error, match="lock is not held") as lost:
                self.ask(statement, subject, version, token)
            assert lost.value.sqlstate == "RV302"

    @invariant()
    def the_rooms_tell_the_same_story(self) -> None:
        gone = {row[0] for row in self.ask("SELECT delivery FROM arvo.tombstone")}
        rows = self.ask(
            "SELECT DISTINCT ON (event_id) event_id, queue, place, attempt, delivery"
            " FROM stage.story ORDER BY event_id, delivery DESC"
        )
        seen = {
            event_id: (queue, "cancelled" if delivery in gone else place, attempt)
            for event_id, queue, place, attempt, delivery in rows
        }
        for (event_id,) in self.ask("SELECT event_id FROM arvo.dead WHERE resolution IS NULL"):
            assert seen[event_id][1] in ("dead", "expired")
            seen[event_id] = (seen[event_id][0], "dead", seen[event_id][2])
        assert seen == {e: (v.queue, v.place, v.attempt) for e, v in self.lives.items()}


def crowd(dsn: str) -> type[CrowdMachine]:
    return type("CrowdHere", (CrowdMachine,), {"dsn": dsn})


@pytest.mark.timeout(300)
def test_a_crowd_and_the_dictionary_tell_the_same_story(stage, dsn):
    tell(stage, EXAMPLES // 2, kind=crowd(dsn))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("one", MUTANTS, ids=[one.name for one in MUTANTS])
def test_the_crowd_notices_a_mutant(stage, dsn, one):
    stage.execute(one.statement())
    with pytest.raises((AssertionError, pytest.fail.Exception, psycopg.Error, ExceptionGroup)):
        tell(stage, 4 * EXAMPLES, Phase.generate, kind=crowd(dsn))
