"""Run: call after call, and a verdict on each."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from fuzz import calls
from fuzz.sense import Sense

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND = 250
"""Inputs between two looks at the invariants."""
PATIENCE = 10.0
"""Seconds after which a call counts as hung."""
INVARIANTS = Path(__file__).with_name("invariants.sql")
_TYPED = ("RV0", "RV1", "RV2", "RV3")
_CAST = ("22", "42601", "54001")
"""What PostgreSQL says of a text that is no value of its type, before any function of ours runs."""

_SETUP: tuple[tuple[str, dict[str, str]], ...] = (
    ("plain", {}), ("ordered", {"policy": "ordered", "stateful": "true"}), ("short",
    {"policy": "short"}),
    ("stately", {"policy": "stately"}), ("exclusive", {"policy": "exclusive"}),
    ("singleton", {"policy": "singleton"}), ("limited", {"max_active": "3", "rate_limit": "50",
    "rate_period": "1 second"}), ("dying", {"retry_limit": "0", "dead_letter": "morgue"}),
    ("morgue", {}),
    ("late", {"start_after": "1 second", "key_from": "data.n", "key_max_active": "2"}),
)  # fmt: skip


@dataclass
class Verdict:
    """What a run has seen.

    Attributes:
        inputs: how many calls.
        outcomes: how often each SQLSTATE, or "answered".
        functions: how often each function answered.
        faults: what must not be, in words.
        slowest: seconds and name of the slowest call.
    """

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    functions: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")


def blame(error: psycopg.Error) -> str | None:
    """Why an error is not one that a caller may be given; None when it is.

    Args:
        error: what a call raised.
    """
    state, diag = error.sqlstate or "", error.diag
    if not state:
        return "the session was lost"
    if state.startswith(_TYPED):
        return None if diag.message_detail and diag.message_hint else "it has no detail or no hint"
    inside = re.search(r"\bfunction\b", diag.context or "") is not None
    if state.startswith(_CAST) and not inside:
        return None
    return "it hung" if state == "57014" else "it is not a typed error"


class Run:
    """Calls on one database, which is this run's own.

    Args:
        dsn: a migrated database; whoever it names is a superuser.
        seed: what the calls are made of.
    """

    def __init__(self, dsn: str, seed: int) -> None:
        self.dsn = dsn
        self.chance = Random(seed)
        self.sense = Sense(self.chance)
        self.verdict = Verdict()
        self.connection = self.connect()
        for queue, options in _SETUP:
            named = "".join(f", p_{name} => '{value}'" for name, value in options.items())
            self.execute(f"SELECT arvo_v1.register_queue(%s{named})", [queue])
        self.functions = calls.functions(self.connection)

    def connect(self) -> psycopg.Connection[dict[str, Any] | tuple[Any, ...]]:
        """Open a session that does not wait for ever."""
        connection = psycopg.connect(
            self.dsn,
            autocommit=True,
            options=f"-c statement_timeout={int(PATIENCE * 1000)}",
        )
        # What comes back is not of interest, and some of it no Python could read.
        connection.adapters.register_loader("jsonb", TextLoader)
        return connection

    def execute(self, statement: str, values: list[str | None] | None = None) -> list[Any]:
        """Run one statement and return its rows."""
        rows = self.connection.execute(statement, values)
        return rows.fetchall() if rows.description else []

    def go(self, inputs: int, told: Callable[[Verdict], None] | None = None) -> Verdict:
        """Make so many calls.

        Args:
            inputs: how many.
            told: is told how far it is, once in a round.
        """
        for number in range(1, inputs + 1):
            # Settled is what was claimed: by chance alone too little would be.
            favoured = ("claim", "work", "settle", "dispatch", "dispatch_many")
            function = self.chance.choice(self.functions)
            if self.chance.random() < 0.3:
                name = self.chance.choice(favoured)
                function = next(known for known in self.functions if known.name == name)
            self.call(calls.made(function, self.sense, self.chance))
            if number % ROUND == 0 or number == inputs:
                self.look()
                if told is not None:
                    told(self.verdict)
        self.connection.close()
        return self.verdict

    def call(self, call: calls.Call) -> None:
        """Make one call and judge what came of it."""
        seen = self.verdict
        seen.inputs += 1
        began = time.monotonic()
        try:
            with self.connection.cursor(row_factory=dict_row) as cursor:
                cursor.execute(call.statement, call.values)
                for row in cursor.fetchmany(50):
                    self.sense.learn(row)
            seen.outcomes["answered"] += 1
            seen.functions[call.function.name] += 1
        except psycopg.Error as error:
            seen.outcomes[error.sqlstate or "lost"] += 1
            reason = blame(error)
            if reason is not None:
                facts = (error.diag.message_primary or str(error))[:200]
                context = (error.diag.context or "").splitlines()[:2]
                seen.faults.append(f"{reason}: {error.sqlstate} {facts} {context}\n    {call}")
            if self.connection.closed:
                self.connection = self.connect()
        seen.slowest = max(seen.slowest, (time.monotonic() - began, call.function.name))

    def look(self) -> None:
        """Look whether the engine still stands: its invariants, and an event that goes its way."""
        for (fault,) in self.execute(INVARIANTS.read_text(encoding="utf-8")):
            self.verdict.faults.append(f"broken after {self.verdict.inputs} inputs: {fault}")
        queue = f"canary.{self.verdict.inputs}"
        try:
            self.execute("SELECT arvo_v1.register_queue(%s)", [queue])
            self.execute(
                "SELECT arvo_v1.dispatch(jsonb_build_object('id', %s::text, 'source', 's', 'type',"
                " 'com.fuzz.canary', 'subject', 's', 'to', %s::text, 'data', '{}'::jsonb))",
                [queue, queue],
            )
            verdicts = self.execute(
                "SELECT settled.outcome FROM arvo_v1.claim(ARRAY[%s]) AS one, arvo_v1.settle("
                "jsonb_build_array(jsonb_build_object('lease', one.lease, 'delivery', one.delivery,"
                " 'outcome', 'completed'))) AS settled",
                [queue],
            )
        except psycopg.Error as error:
            verdicts = [error.sqlstate]
        if verdicts != [("completed",)]:
            self.verdict.faults.append(f"the canary of {queue} came to {verdicts}")
