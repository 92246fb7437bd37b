"""Floors: what PostgreSQL can do here at all, by pgbench and COPY."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from bench.document import document
from bench.pgbench import transactions_per_second
from bench.scenarios.scenario import (
    METERS,
    Cell,
    Column,
    Context,
    Meter,
    Scenario,
    Series,
    Values,
)

_TABLES = """
CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    leased_until timestamptz,
    payload jsonb NOT NULL
);
CREATE INDEX job_ready_idx ON job (id) WHERE leased_until IS NULL;
CREATE TABLE state (subject bigint PRIMARY KEY, version bigint NOT NULL, data jsonb NOT NULL);
INSERT INTO state SELECT number, 0, '{}' FROM generate_series(1, 1000) AS number;
"""
_PAYLOAD = json.dumps(document(0)).replace("'", "''")
_INSERT = f"INSERT INTO job (payload) VALUES ('{_PAYLOAD}');\n"
_CLAIM = """
WITH next AS MATERIALIZED (
    SELECT id FROM job WHERE leased_until IS NULL ORDER BY id LIMIT {limit} FOR UPDATE SKIP LOCKED
)
"""
_DELETE = _CLAIM + "DELETE FROM job USING next WHERE job.id = next.id RETURNING job.payload;\n"
_LEASE = (
    "WITH next AS MATERIALIZED (SELECT id FROM job WHERE leased_until IS NULL ORDER BY id "
    "LIMIT 100 FOR UPDATE SKIP LOCKED), leased AS (UPDATE job SET leased_until = now() FROM next "
    "WHERE job.id = next.id RETURNING job.id, job.payload) "
    "SELECT coalesce(array_agg(id), '{}') AS ids, count(payload) FROM leased \\gset\n"
    "DELETE FROM job WHERE id = ANY (:ids);\n"
)
# A transaction that only has a number is not flushed; one that has logged a message is.
_COMMIT = "SELECT pg_logical_emit_message(true, 'bench', '');\n"
_STEP = (
    "\\set subject random(1, 1000)\n"
    "BEGIN;\n"
    "SELECT version, data FROM state WHERE subject = :subject FOR UPDATE;\n"
    "UPDATE state SET version = version + 1, data = '{\"steps\": 1}' WHERE subject = :subject;\n"
    + _INSERT
    + _DELETE.format(limit=1)
    + "COMMIT;\n"
)


@dataclass(frozen=True)
class _Floor:
    """A script, how many clients run it, and what one transaction counts.

    One that works off rows has so many for each second of the mode, and ends with them.
    """

    script: str
    clients: int
    worth: int = 1
    rows: int = 0


_FLOORS = {
    "smallest durable commit, 1 client": _Floor(_COMMIT, 1),
    "smallest durable commit, 10 clients": _Floor(_COMMIT, 10),
    "insert one, 1 client": _Floor(_INSERT, 1),
    "insert one, 10 clients": _Floor(_INSERT, 10),
    "insert one and notify, 10 clients": _Floor(
        f"BEGIN;\n{_INSERT}SELECT pg_notify('job', '');\nCOMMIT;\n", 10
    ),
    "delete-claim of 100, 1 client": _Floor(_DELETE.format(limit=100), 1, 100, 150_000),
    "lease of 100, then delete, 1 client": _Floor(_LEASE, 1, 100, 80_000),
    "stateful step, 10 clients": _Floor(_STEP, 10),
    "COPY of 1000": _Floor("", 1, 1000),
}


class Floors(Scenario):
    """Not queues: bounds."""

    name = "floors"
    title = "Floors: what this server can do at all"
    says = (
        "By pgbench with prepared statements, rows of the same payload in one table; no attempts, "
        "no history, no routing. `COPY` is psycopg's. A product that comes near these is good."
    )
    columns = (Column("rate", "events/s"), METERS[0], METERS[2])

    def cells(self, context: Context) -> list[Cell]:  # noqa: ARG002 - they need no peer
        """All of them."""
        return [Cell("floor", "pgbench", name) for name in _FLOORS]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """For a fixed time."""
        floor = _FLOORS[cell.case]
        rows = int(floor.rows * context.mode.short_seconds)
        transactions = rows // floor.worth or None
        with context.server.database() as database:
            with database.connect() as connection:
                connection.execute(_TABLES)
                connection.execute(
                    "INSERT INTO job (payload) SELECT %s::jsonb FROM generate_series(1, %s)",
                    (json.dumps(document(0)), rows),
                )
            database.settle_down()
            meter, began = Meter(database), time.monotonic()
            if floor.script:
                per_second = floor.worth * transactions_per_second(
                    context.server.bin,
                    database,
                    floor.script,
                    clients=floor.clients,
                    seconds=context.mode.short_seconds,
                    transactions=transactions,
                )
                handled = rows or per_second * max(1, round(context.mode.short_seconds))
            else:
                handled = 0
                text = json.dumps(document(0))
                with database.connect() as connection, connection.cursor() as cursor:
                    while time.monotonic() - began < context.mode.short_seconds:
                        with cursor.copy("COPY job (payload) FROM STDIN") as copy:
                            for _ in range(floor.worth):
                                copy.write_row((text,))
                        handled += floor.worth
                per_second = handled / (time.monotonic() - began)
            used = meter.read(handled)
        return used | {"rate": per_second}, {}
