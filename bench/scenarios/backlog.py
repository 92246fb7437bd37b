"""Backlog: the same work with ever more events that wait behind it."""

from __future__ import annotations

from bench.scenarios.scenario import (
    CONCURRENCY,
    Cell,
    Column,
    Context,
    Scenario,
    Series,
    Values,
    fill,
    rate,
)
from bench.session import DriverError

_SHALLOW = 10_000


class Backlog(Scenario):
    """Flat, or not."""

    name = "backlog"
    title = "Claim and settle with ever more waiting"
    says = (
        "The queue holds so many events more than are handled; the rate of those that are: compare "
        "each with its own in the drain. Peers that enqueue slowly are left out of the deep cases. "
        "`Flat` measures ours more exactly."
    )
    columns = (Column("rate", "events/s"), Column("server_cpu", "server CPU s/10 k", 2))
    chart = "rate"
    steady = True

    def cells(self, context: Context) -> list[Cell]:
        """The default of ours, the fastest configuration of each peer."""
        return [
            Cell(peer.name, known.name, f"{waiting:,} waiting")
            for waiting in context.mode.backlogs
            for peer, known in (context.best() if context.mode.thorough else context.leaders(3))
            if peer.deep or waiting <= _SHALLOW
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """Handle as many as the time allows, then look no further."""
        waiting = int(cell.case.split()[0].replace(",", ""))
        plain = Cell(cell.peer, cell.configuration)
        count = context.size(plain, context.mode.seconds)
        with context.prepared(cell) as (database, producer, stack):
            worker = context.session(cell, database, stack)
            fill(cell, producer, waiting + count)
            database.settle_down()
            worker.ready()
            server = database.cpu_seconds()
            worker.say("work", concurrency=CONCURRENCY)
            patience = 10 * context.mode.seconds + 30
            if not worker.wait_count(count, patience):
                raise DriverError(f"{worker.count} of {count} handled in {patience:.0f} s")
            handled = worker.count
            server = database.cpu_seconds() - server
            worker.reply()
            tally = worker.stop()
        return {"rate": rate([tally], count), "server_cpu": 1e4 * server / handled}, {}
