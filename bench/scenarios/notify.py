"""Notify: what wake-ups cost sixteen producers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.document import QUEUE, document
from bench.pgbench import transactions_per_second
from bench.scenarios.scenario import (
    CONCURRENCY,
    METERS,
    Cell,
    Column,
    Context,
    Meter,
    Scenario,
    Series,
    Values,
)

if TYPE_CHECKING:
    from bench.mode import Mode
    from bench.server import Database

ALONE = "nobody listens"
ELSEWHERE = "asleep on another queue"
HERE = "asleep on this queue"
AWAKE = "awake on this queue"
_ELSEWHERE = "com.bench.elsewhere"
_PRODUCERS = 16
_SLEEPERS = {ALONE: 0, ELSEWHERE: 2, HERE: 2, AWAKE: 1}
_TABLE = "CREATE TABLE job (id bigserial PRIMARY KEY, payload jsonb NOT NULL)"


class Notify(Scenario):
    """Dispatch one per call, with workers there or not."""

    name = "notify"
    title = "Wake-ups with 16 producers"
    says = (
        "pgbench, 16 clients, `arvo_v1.dispatch` one per call: while nobody listens; while two "
        "workers of another queue sleep; while two workers of this queue sleep, which is paused, "
        "so that each is woken, finds nothing and sleeps again; and while one worker of this queue "
        "is awake and handles what comes, which takes its share of the cores. The floor inserts "
        "into a table, without and with `pg_notify` in each transaction, one session listening."
    )
    columns = (Column("rate", "events/s"), METERS[0], METERS[2])
    chart = "rate"
    one_chart = True

    def rounds(self, mode: Mode) -> int:
        """Interleaved, for they are compared with each other."""
        return mode.notify_rounds

    def cells(self, context: Context) -> list[Cell]:
        """Ours and the floor."""
        floors = ["insert", "insert and notify"]
        return [
            *(
                Cell("arvo", "default", case)
                for case in _SLEEPERS
                if "arvo" in context.environments
            ),
            *(Cell("floor", "pgbench", case) for case in floors),
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """For a fixed time."""
        return (self._ours if cell.peer == "arvo" else self._floor)(context, cell), {}

    def _ours(self, context: Context, cell: Cell) -> Values:
        to = _ELSEWHERE if cell.case in {ALONE, ELSEWHERE} else QUEUE
        given = document(0, to=to)
        event = json.dumps(given).replace("'", "''").replace(given["id"], "bench-' || :n || '")
        script = (
            "\\set n random(1, 9000000000000000000)\n"
            f"SELECT delivery FROM arvo_v1.dispatch(('{event}')::jsonb);\n"
        )
        with context.prepared(cell) as (database, _, stack):
            with database.connect() as connection:
                connection.execute("SELECT arvo_v1.register_queue(%s)", (_ELSEWHERE,))
                if cell.case == HERE:
                    connection.execute("SELECT count(*) FROM arvo_v1.pause_queue(%s)", (QUEUE,))
            for _ in range(_SLEEPERS[cell.case]):
                context.session(cell, database, stack).work(CONCURRENCY)
            return self._rate(context, database, script)

    def _floor(self, context: Context, cell: Cell) -> Values:
        payload = json.dumps(document(0)).replace("'", "''")
        script = f"INSERT INTO job (payload) VALUES ('{payload}');\n"
        if cell.case == "insert and notify":
            script = f"BEGIN;\n{script}SELECT pg_notify('job', '');\nCOMMIT;\n"
        with context.server.database() as database, database.connect() as connection:
            connection.execute(_TABLE)
            connection.execute("LISTEN job")
            return self._rate(context, database, script)

    def _rate(self, context: Context, database: Database, script: str) -> Values:
        seconds = max(1, round(2 * context.mode.short_seconds))
        meter = Meter(database)
        rate = transactions_per_second(
            context.server.bin, database, script, clients=_PRODUCERS, seconds=seconds
        )
        return meter.read(rate * seconds) | {"rate": rate}
