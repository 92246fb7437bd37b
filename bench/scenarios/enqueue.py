"""Enqueue: producers alone."""

from __future__ import annotations

from bench.scenarios.scenario import Cell, Column, Context, Scenario, Series, Values

_CASES = {
    "one per call, 1 connection": {"batch": 1, "connections": 1},
    "one per call, 10 connections": {"batch": 1, "connections": 10},
    "batches of 1000": {"batch": 1000, "connections": 1},
}
_NO_END = 10_000_000


class Enqueue(Scenario):
    """One per call and in batches."""

    name = "enqueue"
    title = "Enqueue"
    says = (
        "One producer process, nobody works. The time includes what a caller has to do: ours makes "
        "and validates an ArvoEvent, others serialize. Absurd has no call for many."
    )
    columns = (
        Column("rate", "events/s"),
        Column("wal", "WAL bytes/event"),
        Column("client_cpu", "client CPU s/10 k", 2),
        Column("server_cpu", "server CPU s/10 k", 2),
    )
    chart = "rate"

    def cells(self, context: Context) -> list[Cell]:
        """The default of ours, the fastest configuration of each peer; in three ways."""
        return [
            Cell(peer.name, known.name, case)
            for case in _CASES
            for peer, known in context.best()
            if peer.bulk or _CASES[case]["batch"] == 1
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """For a fixed time."""
        options = _CASES[cell.case]
        with context.prepared(cell) as (database, producer, _):
            producer.send(0, connections=options["connections"])
            database.settle_down()
            client, server = producer.cpu_seconds(), database.cpu_seconds()
            log = database.wal_bytes()
            done = producer.send(_NO_END, seconds=context.mode.short_seconds, **options)
            client = producer.cpu_seconds() - client
            server, log = database.cpu_seconds() - server, database.wal_bytes() - log
        return {
            "rate": done["count"] / done["seconds"],
            "wal": log / done["count"],
            "client_cpu": 1e4 * client / done["count"],
            "server_cpu": 1e4 * server / done["count"],
        }, {}
