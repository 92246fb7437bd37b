"""A queue against a dictionary: after any steps, both tell the same story.

The model knows nothing of windows, snapshots or ledgers: an event is queued, deferred until a time,
leased until a time, completed or dead. ARVO_MACHINE_EXAMPLES sets how many stories are tried; with
ARVO_MACHINE_SHRINKS=0 one that fails is told as it was found, which is soon.
"""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import mutant
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.types.json import Jsonb

EXAMPLES = int(os.environ.get("ARVO_MACHINE_EXAMPLES", "40"))
SHRINKS = os.environ.get("ARVO_MACHINE_SHRINKS", "1") == "1"
START = datetime(2030, 1, 1, tzinfo=UTC)
QUEUES = {"plain": 1, "frail": 0}  # name, retries
SECONDS = st.sampled_from([1, 5, 30])


@dataclass(frozen=True)
class Life:
    """Where an event is.

    Attributes:
        place: queued, deferred, leased, completed or dead.
        attempt: Which attempt it is in, or waits for.
        until: Deferred: due; leased: the earliest moment at which it may be taken back.
        lease: Token, while leased.
        delivery: Number, while leased.
    """

    queue: str
    place: str
    attempt: int = 1
    until: datetime | None = None
    lease: int = 0
    delivery: int = 0


class Machine(RuleBasedStateMachine):
    """The system is a database; its clock is the machine's."""

    connection: psycopg.Connection

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.lives: dict[str, Life] = {}
        self.stale: list[tuple[int, int, str]] = []
        self.versions: dict[str, int] = {}
        self.count = 0
        self.token = 0
        self.edges: set[datetime] = set()

    def ask(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, arguments).fetchall()

    def set_clock(self, moment: datetime) -> None:
        self.now = moment
        self.ask("SELECT set_config('arvo.frozen_clock', %s, false)", moment.isoformat())

    def new(self) -> str:
        self.count += 1
        return f"e{self.count}"

    @initialize()
    def empty_house(self) -> None:
        self.ask("SELECT stage.clear()")
        self.set_clock(START)
        for queue, limit in QUEUES.items():
            self.ask("SELECT arvo_v1.register_queue(%s, p_retry_limit => %s)", queue, limit)

    def put(self, event_id: str, queue: str, after: int) -> Life:
        (outcome,) = self.ask(
            "SELECT outcome FROM arvo_v1.dispatch(stage.event(%s, %s), %s)",
            event_id,
            queue,
            timedelta(seconds=after),
        )[0]
        assert outcome == ("deferred" if after else "queued")
        if after:
            return Life(queue, "deferred", until=self.now + timedelta(seconds=after))
        return Life(queue, "queued")

    @rule(queue=st.sampled_from(sorted(QUEUES)), after=st.sampled_from([0, 0, 0, 5, 30]))
    def dispatch(self, queue: str, after: int) -> None:
        event_id = self.new()
        self.lives[event_id] = self.put(event_id, queue, after)

    @rule(queue=st.sampled_from(sorted(QUEUES)), after=st.sampled_from([0, 5]))
    def dispatch_and_roll_back(self, queue: str, after: int) -> None:
        with self.connection.transaction(force_rollback=True):
            self.put(self.new(), queue, after)

    def lease(self, queue: str, limit: int, lease: int) -> list[tuple[Any, ...]]:
        return self.ask(
            "SELECT lease, delivery, event ->> 'id', attempt, expires_at"
            " FROM arvo_v1.claim(%s, %s, NULL, NULL, %s)",
            [queue],
            limit,
            timedelta(seconds=lease),
        )

    @rule(queue=st.sampled_from(sorted(QUEUES)), limit=st.sampled_from([1, 2, 5]), lease=SECONDS)
    def claim(self, queue: str, limit: int, lease: int) -> None:
        # What it promotes or takes back is for a later claim: its own transaction wrote it.
        ready = {
            event_id: life
            for event_id, life in self.lives.items()
            if life.queue == queue and life.place == "queued"
        }
        self.promote()
        rows = self.lease(queue, limit, lease)
        if 0 < len(rows) < min(limit, len(ready)):
            # A batch comes out of one window; what was left of an old one may be less than that.
            rows += self.lease(queue, limit - len(rows), lease)
        self.see_expired(queue)
        assert len(rows) <= limit
        assert len(rows) >= min(limit, len(ready))
        assert len({row[2] for row in rows}) == len(rows)
        for token, delivery, event_id, attempt, expires_at in rows:
            life = self.lives[event_id]
            assert (life.place, life.attempt) == ("queued", attempt)
            assert token > self.token
            assert expires_at >= self.now + timedelta(seconds=lease)
            self.lives[event_id] = replace(
                life, place="leased", until=expires_at, lease=token, delivery=delivery
            )
        self.token = max([self.token, *(row[0] for row in rows)])

    def promote(self) -> None:
        for event_id, life in self.lives.items():
            if life.place == "deferred" and life.until and life.until <= self.now:
                self.lives[event_id] = replace(life, place="queued", until=None)

    def see_expired(self, queue: str | None = None) -> None:
        """Leases that lapsed may have been taken back: those that were must have lapsed."""
        closed = dict(
            self.ask(
                "SELECT gone, outcomes[1] FROM arvo.closure"
                " CROSS JOIN LATERAL unnest(deliveries) AS gone"
                " WHERE outcomes[1] = 'expired'"
            )
        )
        for event_id, life in self.lives.items():
            if life.place == "leased" and life.delivery in closed:
                assert life.until is not None
                assert life.until <= self.now
                assert queue in (None, life.queue)
                self.fail(event_id, life)

    def fail(self, event_id: str, life: Life, after: int = 0) -> None:
        self.stale.append((life.lease, life.delivery, event_id))
        if life.attempt > QUEUES[life.queue]:
            self.lives[event_id] = Life(life.queue, "dead", life.attempt)
        else:
            self.back(event_id, life, life.attempt + 1, after)

    def back(self, event_id: str, life: Life, attempt: int, after: int = 0) -> None:
        until = self.now + timedelta(seconds=after) if after else None
        place = "deferred" if after else "queued"
        self.lives[event_id] = Life(life.queue, place, attempt, until)

    def leased(self) -> list[str]:
        return [event_id for event_id, life in self.lives.items() if life.place == "leased"]

    @precondition(lambda self: self.leased())
    @rule(
        data=st.data(),
        outcome=st.sampled_from(
            ["completed", "completed", "failed", "released", "snoozed", "rejected"]
        ),
        after=st.sampled_from([0, 5]),
        emit=st.booleans(),
    )
    def settle(self, data: st.DataObject, outcome: str, after: int, *, emit: bool) -> None:
        event_id = data.draw(st.sampled_from(self.leased()))
        life = self.lives[event_id]
        item: dict[str, Any] = {
            "lease": life.lease, "delivery": life.delivery, "outcome": outcome
        }  # fmt: skip
        emitted = self.new()
        if outcome == "completed" and emit:
            (event,) = self.ask("SELECT stage.event(%s, 'plain')", emitted)[0]
            item["events"] = [event]
        if outcome in ("failed", "snoozed"):
            item["after"] = after
        ends = {"failed": "retried", "rejected": "dead"}
        expected = ends.get(outcome, outcome)
        if outcome == "failed" and life.attempt > QUEUES[life.queue]:
            expected = "dead"
        assert self.settled(item) == (expected, None)
        if outcome == "completed":
            self.stale.append((life.lease, life.delivery, event_id))
            self.lives[event_id] = Life(life.queue, "completed", life.attempt)
            if emit:
                self.lives[emitted] = Life("plain", "queued")
        elif outcome == "failed":
            self.fail(event_id, life, after)
        elif outcome == "rejected":
            self.stale.append((life.lease, life.delivery, event_id))
            self.lives[event_id] = Life(life.queue, "dead", life.attempt)
        else:
            self.stale.append((life.lease, life.delivery, event_id))
            wait = after if outcome == "snoozed" else 0
            self.back(event_id, life, life.attempt, wait)

    def settled(self, item: dict[str, Any]) -> tuple[str, str | None]:
        rows = self.ask("SELECT outcome, code FROM arvo_v1.settle(%s)", Jsonb([item]))
        return rows[0]

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), outcome=st.sampled_from(["completed", "failed"]))
    def settle_again(self, data: st.DataObject, outcome: str) -> None:
        lease, delivery, _ = data.draw(st.sampled_from(self.stale))
        item: dict[str, Any] = {"lease": lease, "delivery": delivery, "outcome": outcome}
        if outcome == "completed":
            item["events"] = self.ask("SELECT stage.event('forged', 'plain')")[0]
        assert self.settled(item) in [("already", None), ("refused", "RV301")]

    @precondition(lambda self: self.leased())
    @rule(data=st.data())
    def settle_under_another_lease(self, data: st.DataObject) -> None:
        life = self.lives[data.draw(st.sampled_from(self.leased()))]
        item = {"lease": life.lease ^ 1, "delivery": life.delivery, "outcome": "completed"}
        assert self.settled(item) == ("refused", "RV301")

    @precondition(lambda self: self.leased())
    @rule(data=st.data(), lasts=SECONDS)
    def extend(self, data: st.DataObject, lasts: int) -> None:
        lease = self.lives[data.draw(st.sampled_from(self.leased()))].lease
        ((held, expires_at),) = self.ask(
            "SELECT held, expires_at FROM arvo_v1.extend(%s, %s)",
            [lease],
            timedelta(seconds=lasts),
        )
        assert held
        assert expires_at >= self.now + timedelta(seconds=lasts)
        for event_id, life in self.lives.items():
            if life.place == "leased" and life.lease == lease:
                self.lives[event_id] = replace(life, until=expires_at)

    @rule(seconds=st.sampled_from([0.5, 1, 7, 40]))
    def time_passes(self, seconds: float) -> None:
        self.set_clock(self.now + timedelta(seconds=seconds))

    @precondition(lambda self: any(edge >= self.now for edge in self.edges))
    @rule(data=st.data(), microseconds=st.sampled_from([-1, 0, 0, 1]), maintained=st.booleans())
    def time_reaches_an_edge(
        self, data: st.DataObject, microseconds: int, *, maintained: bool
    ) -> None:
        """Also the edge of a lease that a heartbeat has carried beyond it."""
        edge = data.draw(st.sampled_from(sorted(e for e in self.edges if e >= self.now)))
        self.set_clock(max(self.now, edge + timedelta(microseconds=microseconds)))
        if maintained:
            self.maintain()

    @rule()
    def maintain(self) -> None:
        self.ask("SELECT * FROM arvo_v1.maintain()")
        self.promote()
        self.see_expired()

    @rule()
    def heal(self) -> None:
        """Half a second after its last search, maintenance leaves no lapsed lease."""
        self.set_clock(self.now + timedelta(seconds=1))
        self.maintain()
        assert not [
            event_id
            for event_id, life in self.lives.items()
            if life.place == "leased" and life.until and life.until <= self.now
        ]

    @rule(queue=st.sampled_from(sorted(QUEUES)))
    def redrive(self, queue: str) -> None:
        rows = self.ask("SELECT event_id FROM arvo_v1.redrive(%s)", queue)
        dead = {e: v for e, v in self.lives.items() if v.queue == queue and v.place == "dead"}
        assert sorted(row[0] for row in rows) == sorted(dead)
        for event_id in dead:
            self.lives[event_id] = Life(queue, "queued")

    @rule(subject=st.sampled_from(["s", "t"]), offset=st.sampled_from([-1, 0, 0, 0, 1]))
    def write_state(self, subject: str, offset: int) -> None:
        version = self.versions.get(subject, 0)
        expected = max(version + offset, 0)
        statement = "SELECT arvo_v1.write_state(%s, '{}', %s)"
        if expected == version:
            assert self.ask(statement, subject, expected) == [(version + 1,)]
            self.versions[subject] = version + 1
        else:
            with pytest.raises(psycopg.Error, match="version mismatch") as conflict:
                self.ask(statement, subject, expected)
            assert conflict.value.sqlstate == "RV101"

    @invariant()
    def edges_are_remembered(self) -> None:
        self.edges |= {life.until for life in self.lives.values() if life.until}

    @invariant()
    def the_rooms_tell_the_same_story(self) -> None:
        rows = self.ask(
            "SELECT DISTINCT ON (event_id) event_id, queue, place, attempt FROM stage.story"
            " ORDER BY event_id, delivery DESC"
        )
        seen = {event_id: (queue, place, attempt) for event_id, queue, place, attempt in rows}
        dead = self.ask("SELECT event_id FROM arvo.dead WHERE resolution IS NULL")
        for (event_id,) in dead:
            assert seen[event_id][1] in ("dead", "expired")
            seen[event_id] = (seen[event_id][0], "dead", seen[event_id][2])
        model = {e: (v.queue, v.place, v.attempt) for e, v in self.lives.items()}
        assert seen == model

    @invariant()
    def nothing_contradicts_the_invariants(self) -> None:
        assert self.ask("SELECT stage.faults()") == []

    @invariant()
    def the_numbers_are_right(self) -> None:
        rows = self.ask(
            "SELECT name, queued_count, active_count, deferred_count, dead_count"
            " FROM arvo_v1.queue_stats()"
        )
        places = ("queued", "leased", "deferred", "dead")
        for name, *counts in rows:
            model = [
                sum(life.queue == name and life.place == place for life in self.lives.values())
                for place in places
            ]
            assert counts == model

    @invariant()
    def versions_are_counted(self) -> None:
        assert dict(self.ask("SELECT subject, version FROM arvo.state")) == self.versions


class GroupingMachine(Machine):
    """Settles several deliveries of a lease in one item as well. It begins with some in hand."""

    @initialize()
    def empty_house(self) -> None:
        super().empty_house()
        for _ in range(5):
            self.dispatch(queue="plain", after=0)
        self.claim(queue="plain", limit=5, lease=30)

    @precondition(lambda self: self.leased())
    @rule(data=st.data(), again=st.booleans(), twice=st.booleans(), single=st.booleans())
    def settle_together(
        self, data: st.DataObject, *, again: bool, twice: bool, single: bool
    ) -> None:
        """Several deliveries of one lease in one item; some of them not open, or named twice."""
        lease = self.lives[data.draw(st.sampled_from(self.leased()))].lease
        mine = [event_id for event_id in self.leased() if self.lives[event_id].lease == lease]
        done = data.draw(st.lists(st.sampled_from(mine), min_size=1, unique=True))
        open_ = [self.lives[event_id].delivery for event_id in done]
        gone = [old[1] for old in self.stale if again and old[0] == lease][-1:]
        more = open_[:1] if twice else []
        items: list[dict[str, Any]] = [
            {"lease": lease, "outcome": "completed", "deliveries": open_ + gone + more}
        ]
        left = [event_id for event_id in mine if event_id not in done][:1] if single else []
        items += [
            {"lease": lease, "outcome": "failed", "delivery": self.lives[event_id].delivery,
             "after": 5}
            for event_id in left
        ]  # fmt: skip
        rows = self.ask("SELECT ordinal, outcome, code FROM arvo_v1.settle(%s)", Jsonb(items))
        assert rows[: len(done)] == [(1, "completed", None)] * len(done)
        for row in rows[len(done) : len(done) + len(gone)]:
            assert row in [(1, "already", None), (1, "refused", "RV301")]
        assert [row for row in rows if row[2] == "RV006"] == [(1, "refused", "RV006")] * len(more)
        assert len(rows) == len(done) + len(gone) + len(more) + len(left)
        for event_id in done:
            life = self.lives[event_id]
            self.stale.append((life.lease, life.delivery, event_id))
            self.lives[event_id] = Life(life.queue, "completed", life.attempt)
        for event_id in left:
            ((ordinal, outcome, _),) = rows[-1:]
            dead = self.lives[event_id].attempt > QUEUES[self.lives[event_id].queue]
            assert (ordinal, outcome) == (2, "dead" if dead else "retried")
            self.fail(event_id, self.lives[event_id], 5)


def tell(
    connection: psycopg.Connection,
    examples: int,
    *phases: Phase,
    kind: type[Machine] = Machine,
) -> None:
    """Try as many stories on a database."""
    machine = type("MachineHere", (kind,), {"connection": connection})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            derandomize=True,
            deadline=None,
            database=None,
            phases=phases or (tuple(Phase) if SHRINKS else (Phase.generate,)),
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("kind", [Machine, GroupingMachine])
def test_the_queue_and_the_dictionary_tell_the_same_story(stage, kind):
    tell(stage, EXAMPLES, kind=kind)


MUTANTS = [one for one in mutant.load() if one.machine in {"queue", "grouping"}]


@pytest.mark.parametrize("one", MUTANTS, ids=[one.name for one in MUTANTS])
def test_the_dictionary_notices_a_mutant(stage, one):
    stage.execute(one.statement())
    kind = GroupingMachine if one.machine == "grouping" else Machine
    with pytest.raises((AssertionError, pytest.fail.Exception, psycopg.Error)):
        tell(stage, 4 * EXAMPLES, Phase.generate, kind=kind)
