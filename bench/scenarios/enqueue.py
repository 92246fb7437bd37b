"""Enqueue: producers alone."""

from __future__ import annotations

from contextlib import ExitStack

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

COPY = "COPY"
_COPY_BATCH = 10_000
_CASES = {
    "one per call, 1 connection": {"batch": 1, "connections": 1},
    "one per call, 10 connections": {"batch": 1, "connections": 10},
    "batches of 1000": {"batch": 1000, "connections": 1},
    COPY: {"batch": _COPY_BATCH, "connections": 1},
}
_NO_END = 10_000_000


class Enqueue(Scenario):
    """One per call and in batches."""

    name = "enqueue"
    title = "Enqueue"
    says = (
        "One producer process, nobody works. The time includes what a caller has to do: ours makes "
        "and validates an ArvoEvent, others serialize. Absurd has no call for many. `COPY` is "
        "`dispatch_copy` of ours, given 10,000 events at a time; Awa's call for many is a COPY too."
    )
    columns = (Column("rate", "events/s"), *METERS)
    chart = "rate"

    def cells(self, context: Context) -> list[Cell]:
        """The default of ours, the fastest configuration of each peer; in three ways."""
        return [
            Cell(peer.name, known.name, case)
            for case in _CASES
            for peer, known in context.best()
            if peer.bulk or _CASES[case]["batch"] == 1
            if peer.name == "arvo" or case != COPY
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """For a fixed time."""
        options = _CASES[cell.case]
        with context.server.database(context.template(cell)) as database, ExitStack() as stack:
            more = {"copy": True} if cell.case == COPY else {}
            producer = context.session(cell, database, stack, **more)
            producer.send(0, connections=options["connections"])
            database.settle_down()
            meter = Meter(database, producer)
            done = producer.send(_NO_END, seconds=context.mode.short_seconds, **options)
            used = meter.read(done["count"])
        return used | {"rate": done["count"] / done["seconds"]}, {}
