"""Life: bytes of the log for one event from its enqueuing until it is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from bench.document import QUEUE, document
from bench.scenarios.flat import put, work
from bench.scenarios.scenario import METERS, Cell, Column, Context, Meter, Scenario, Series, Values

if TYPE_CHECKING:
    from bench.server import Database

_BATCH = 100
_FLOOR_TABLE = """
CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    leased_until timestamptz,
    payload jsonb NOT NULL
);
CREATE INDEX job_ready_idx ON job (id) WHERE leased_until IS NULL;
"""
_FLOOR_LEASE = """
WITH next AS MATERIALIZED (
    SELECT id FROM job WHERE leased_until IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE job SET leased_until = now() FROM next WHERE job.id = next.id RETURNING job.id
"""


class Life(Scenario):
    """Enqueue, claim and settle, a hundred at a time."""

    name = "life"
    title = "The log of an event's whole life"
    says = (
        "Enqueue, claim and settle, a hundred at a time on one connection; bytes of write-ahead "
        "log per event, and what of it is not the event itself (`pg_column_size` of its jsonb). "
        "The floor inserts into a table, leases by UPDATE and deletes."
    )
    columns = (
        METERS[0],
        Column("payload", "bytes of the event"),
        Column("beyond", "WAL bytes beyond it"),
        METERS[2],
    )
    chart = "beyond"

    def cells(self, context: Context) -> list[Cell]:
        """Ours and the floor."""
        ours = [Cell("arvo", "default")] if "arvo" in context.environments else []
        return [*ours, Cell("floor", "psycopg")]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """A fixed number, after some that warm up."""
        count = context.mode.life_events
        ours = cell.peer == "arvo"
        template = context.template(cell) if ours else "template0"
        with context.server.database(template) as database:
            if not ours:
                with database.connect() as connection:
                    connection.execute(_FLOOR_TABLE)
            live = _ours if ours else _floor
            live(database, 10 * _BATCH)
            meter = Meter(database)
            live(database, count)
            used = meter.read(count)
            payload = _payload(database)
        return used | {"payload": payload, "beyond": used["wal"] - payload}, {}


def _ours(database: Database, count: int) -> None:
    with database.connect() as connection:
        for _ in range(count // _BATCH):
            put(connection, _BATCH)
        work(connection, QUEUE, count // _BATCH)


def _floor(database: Database, count: int) -> None:
    given = Jsonb(document(0))
    with database.connect() as connection:
        for _ in range(count // _BATCH):
            connection.execute(
                "INSERT INTO job (payload) SELECT %s FROM generate_series(1, %s)", (given, _BATCH)
            )
        while rows := connection.execute(_FLOOR_LEASE, (_BATCH,)).fetchall():
            leased = [number for (number,) in rows]
            connection.execute("DELETE FROM job WHERE id = ANY (%s)", (leased,))


def _payload(database: Database) -> float:
    """Bytes of an event as :func:`put` makes it."""
    with database.connect() as connection:
        row = connection.execute(
            "SELECT pg_column_size(%s::jsonb || jsonb_build_object("
            "'id', gen_random_uuid(), 'subject', gen_random_uuid()))",
            (Jsonb(document(0)),),
        ).fetchone()
    assert row is not None  # noqa: S101  an expression
    return float(str(row[0]))
