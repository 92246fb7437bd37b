"""Gated queues against their promises: order per key, exact limits, rates, and nobody stuck.

Random steps on queues of every kind; after each, what is leased is compared with what the queue
promises. In the end everything is worked off: whatever was dispatched must come to an end.
ARVO_MACHINE_EXAMPLES sets how many stories are tried; with ARVO_MACHINE_SHRINKS=0 one that fails is
told as it was found, which is soon.
"""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import mutant
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
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
RETRIES = 1
QUEUES: dict[str, dict[str, Any]] = {
    "ordered": {"policy": "ordered", "retry_delay": "5 seconds"},
    "aside": {"policy": "ordered", "on_failure": "step_aside"},
    "singleton": {"policy": "singleton", "key_from": "subject"},
    "crowd": {"max_active": 3},
    "pairs": {"key_max_active": 2, "key_from": "subject"},
    "paced": {"rate_limit": 3, "rate_period": "20 seconds"},
    "pace": {"key_rate_limit": 2, "key_rate_period": "20 seconds", "key_from": "subject"},
    "both": {"policy": "ordered", "key_rate_limit": 2, "key_rate_period": "20 seconds"},
}
OUTCOMES = st.sampled_from(["completed", "completed", "failed", "rejected", "released", "snoozed"])
TURNS = [1, 5, 20, 60]
MUTANTS = [one for one in mutant.load() if one.machine.startswith("gated")]


@dataclass
class Event:
    """One event: where it goes, and what has become of it."""

    name: str
    queue: str
    key: str
    retried: bool = False
    ended: bool = False


@dataclass
class Held:
    """A delivery that is leased."""

    event: Event
    lease: int
    delivery: int
    until: datetime = field(default=START)


class Machine(RuleBasedStateMachine):
    """The system is a database; its clock is the machine's."""

    connection: psycopg.Connection
    choice: tuple[str, ...] = tuple(sorted(QUEUES))

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.events: list[Event] = []
        self.held: list[Held] = []
        self.queue = ""
        self.starts: dict[tuple[str, str], list[datetime]] = defaultdict(list)

    def ask(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, arguments).fetchall()

    def set_clock(self, moment: datetime) -> None:
        self.now = moment
        self.ask("SELECT set_config('arvo.frozen_clock', %s, false)", moment.isoformat())

    @initialize(pick=st.integers(0, 99))
    def empty_house(self, pick: int) -> None:
        # A story is about one queue: it gets crowded.
        self.queue = self.choice[pick % len(self.choice)]
        self.ask("SELECT stage.clear()")
        self.set_clock(START)
        for queue, options in QUEUES.items():
            named = "".join(f", p_{name} => %s" for name in options)
            self.ask(
                f"SELECT arvo_v1.register_queue(%s, p_retry_limit => {RETRIES}{named})",
                queue,
                *options.values(),
            )

    @rule(keys=st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
    def dispatch(self, keys: list[str]) -> None:
        queue = self.queue
        new = [Event(f"e{len(self.events) + n}", queue, key) for n, key in enumerate(keys)]
        batch = [
            {
                "id": event.name, "source": "com.test", "type": "com.test.event", "to": queue,
                "subject": event.key, "data": {},
            }
            for event in new
        ]  # fmt: skip
        answers = self.ask("SELECT outcome FROM arvo_v1.dispatch_many(%s)", Jsonb(batch))
        assert {outcome for (outcome,) in answers} == {"queued"}
        self.events += new

    @rule(limit=st.sampled_from([1, 2, 5, 20]))
    def claim(self, limit: int) -> None:
        queue = self.queue
        rows = self.ask(
            "SELECT lease, delivery, event ->> 'id', expires_at"
            " FROM arvo_v1.claim(%s, %s, NULL, NULL, '10 seconds')",
            [queue],
            limit,
        )
        self.lapse(queue)
        assert len(rows) <= limit
        for lease, delivery, name, until in rows:
            event = self.events[int(name[1:])]
            assert event.queue == queue
            assert not event.ended
            assert all(held.event is not event for held in self.held)
            self.check_order(event, lease)
            self.held.append(Held(event, lease, delivery, until))
            self.starts[queue, ""].append(self.now)
            self.starts[queue, event.key].append(self.now)

    def check_order(self, event: Event, lease: int) -> None:
        """All that came before it under its key has ended, or stands before it in this lease."""
        if QUEUES[event.queue].get("policy") != "ordered":
            return
        for earlier in self.events:
            if earlier is event:
                return
            if (earlier.queue, earlier.key) != (event.queue, event.key) or earlier.ended:
                continue
            if event.queue == "aside" and (earlier.retried or event.retried):
                continue
            assert [held.lease for held in self.held if held.event is earlier] == [lease]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        first = data.draw(st.sampled_from(range(len(self.held))))
        lease = self.held[first].lease
        mine = [held for held in self.held if held.lease == lease]
        chosen = mine[: data.draw(st.integers(1, len(mine)))]
        outcomes = [data.draw(OUTCOMES) for _ in chosen]
        self.report(list(zip(chosen, outcomes, strict=True)))

    def report(self, results: list[tuple[Held, str]]) -> None:
        answers = self.ask(
            "SELECT outcome, code FROM arvo_v1.settle(%s)",
            Jsonb(
                [
                    {
                        "lease": held.lease, "delivery": held.delivery, "outcome": outcome,
                        "error": {"name": "E", "message": "m"},
                    }
                    | ({"after": 5} if outcome == "snoozed" else {})
                    for held, outcome in results
                ]
            ),
        )  # fmt: skip
        broken: set[tuple[int, str]] = set()
        for (held, asked), (outcome, code) in zip(results, answers, strict=True):
            event = held.event
            line = (held.lease, event.key)
            in_line = QUEUES[event.queue].get("policy") == "ordered"
            if in_line and line in broken:
                assert (outcome, code) == ("refused", "RV301")
                continue
            assert code is None, (outcome, code)
            assert outcome in {asked, {"failed": "retried"}.get(asked), "dead"}
            event.ended = outcome in {"completed", "dead"}
            event.retried = event.retried or outcome == "retried"
            if held in self.held:
                self.held.remove(held)
            if in_line and outcome != "completed":
                broken.add(line)
        # The rest of a run goes back with the one that was not completed.
        self.held = [held for held in self.held if (held.lease, held.event.key) not in broken]

    def lapse(self, queue: str) -> None:
        """What a claim takes back of expired leases."""
        for held in [h for h in self.held if h.event.queue == queue and h.until <= self.now]:
            self.held.remove(held)
            held.event.retried = True
            dead = self.ask(
                "SELECT count(*) FROM arvo.dead WHERE event_id = %s", held.event.name
            ) != [(0,)]
            held.event.ended = dead

    @rule(seconds=st.sampled_from(TURNS))
    def wait(self, seconds: int) -> None:
        self.set_clock(self.now + timedelta(seconds=seconds))

    @invariant()
    def limits_hold(self) -> None:
        leased = defaultdict(int)
        for held in self.held:
            leased[held.event.queue, ""] += 1
            leased[held.event.queue, held.event.key] += 1
        assert leased["crowd", ""] <= 3
        for key in "abc":
            assert leased["singleton", key] <= 1
            assert leased["pairs", key] <= 2
        for place, most in [(("paced", ""), 3), *((("pace", key), 2) for key in "abc")]:
            starts = self.starts[place]
            for first in starts:
                window = [s for s in starts if first <= s < first + timedelta(seconds=20)]
                assert len(window) <= most

    @invariant()
    def rooms_agree(self) -> None:
        assert (
            self.ask(
                "SELECT turn.queue, turn.key, turn.waiting FROM arvo.turn"
                " WHERE turn.key <> 0 AND turn.waiting <> (SELECT count(*) FROM arvo.parked"
                " WHERE parked.queue = turn.queue AND parked.key = turn.key)"
            )
            == []
        )

    def teardown(self) -> None:
        for _ in range(60 + 4 * len(self.events)):
            if all(event.ended for event in self.events):
                return
            self.report([(held, "completed") for held in list(self.held)])
            self.set_clock(self.now + timedelta(seconds=21))
            self.claim(20)
            self.report([(held, "completed") for held in list(self.held)])
            self.limits_hold()
        stuck = [event for event in self.events if not event.ended]
        raise AssertionError(f"never ended: {stuck}")


def tell(
    connection: psycopg.Connection, examples: int, *phases: Phase, queue: str | None = None
) -> None:
    """Try as many stories on a database, about any queue or a certain one."""
    here = {"connection": connection} | ({"choice": (queue,)} if queue else {})
    machine = type("MachineHere", (Machine,), here)
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


@pytest.mark.timeout(600)
def test_gated_queues_keep_their_promises(stage):
    tell(stage, EXAMPLES)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("one", MUTANTS, ids=[one.name for one in MUTANTS])
def test_a_mutant_breaks_a_promise(stage, one):
    stage.execute(one.statement())
    # Flaky: what the rules found enabled differed between two runs of the same steps, which it
    # never does without a mutant.
    with pytest.raises((AssertionError, psycopg.Error, ExceptionGroup, Flaky)):
        tell(stage, 100, Phase.generate, queue=one.machine.split()[1])
