"""Notify: what wake-ups cost sixteen producers."""

from __future__ import annotations

import json

from bench.document import QUEUE, document
from bench.pgbench import transactions_per_second
from bench.scenarios.scenario import CONCURRENCY, Cell, Column, Context, Scenario, Series, Values

_ELSEWHERE = "com.bench.elsewhere"
_PRODUCERS = 16
_SLEEPERS = 2
_TABLE = "CREATE TABLE job (id bigserial PRIMARY KEY, payload jsonb NOT NULL)"


class Notify(Scenario):
    """Dispatch one per call, with workers there or not."""

    name = "notify"
    title = "Wake-ups with 16 producers"
    says = (
        "pgbench, 16 clients, `arvo_v1.dispatch` one per call: while nobody listens, while two "
        "workers of another queue listen and sleep, and while a worker of this queue handles what "
        "comes (which takes its share of the cores). The floor inserts into a table, without and "
        "with `pg_notify` in each transaction, one session listening."
    )
    columns = (Column("rate", "events/s"),)

    def cells(self, context: Context) -> list[Cell]:
        """Ours and the floor."""
        ours = ["nobody listens", "workers asleep", "worker awake"]
        floors = ["insert", "insert and notify"]
        return [
            *(Cell("arvo", "default", case) for case in ours if "arvo" in context.environments),
            *(Cell("floor", "pgbench", case) for case in floors),
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """For a fixed time."""
        per_second = (
            self._ours(context, cell) if cell.peer == "arvo" else self._floor(context, cell)
        )
        return {"rate": per_second}, {}

    def _ours(self, context: Context, cell: Cell) -> float:
        queue = QUEUE if cell.case == "worker awake" else _ELSEWHERE
        given = document(0) | {"to": queue}
        event = json.dumps(given).replace("'", "''").replace(given["id"], "bench-' || :n || '")
        script = (
            "\\set n random(1, 9000000000000000000)\n"
            f"SELECT delivery FROM arvo_v1.dispatch(('{event}')::jsonb);\n"
        )
        with context.prepared(cell) as (database, _, stack):
            with database.connect() as connection:
                connection.execute("SELECT arvo_v1.register_queue(%s)", (_ELSEWHERE,))
            sleepers = {"nobody listens": 0, "workers asleep": _SLEEPERS, "worker awake": 1}
            for _ in range(sleepers[cell.case]):
                context.session(cell, database, stack).work(CONCURRENCY)
            return self._rate(context, database, script)

    def _floor(self, context: Context, cell: Cell) -> float:
        payload = json.dumps(document(0)).replace("'", "''")
        script = f"INSERT INTO job (payload) VALUES ('{payload}');\n"
        if cell.case == "insert and notify":
            script = f"BEGIN;\n{script}SELECT pg_notify('job', '');\nCOMMIT;\n"
        with context.server.database() as database, database.connect() as connection:
            connection.execute(_TABLE)
            connection.execute("LISTEN job")
            return self._rate(context, database, script)

    def _rate(self, context: Context, database: object, script: str) -> float:
        return transactions_per_second(
            context.server.bin,
            database,  # type: ignore[arg-type]
            script,
            clients=_PRODUCERS,
            seconds=2 * context.mode.short_seconds,
        )
