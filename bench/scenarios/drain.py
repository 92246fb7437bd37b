"""Drain: no-op handlers work off what waits, in one process and in two."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.scenarios.scenario import (
    CONCURRENCY,
    Cell,
    Column,
    Context,
    Scenario,
    Series,
    Values,
    check_each_once,
    fill,
    rate,
)
from bench.session import DriverError, wait_counts

if TYPE_CHECKING:
    from bench.mode import Mode

_PATIENCE_FACTOR = 10
_ACKNOWLEDGE_SECONDS = 0.3
_SLOWEST = 5_000  # events per second of the million


class Drain(Scenario):
    """One process of concurrency 10."""

    name = "drain"
    title = "Drain: no-op handlers, one process, concurrency 10"
    says = (
        "Events that wait are handled as fast as they go; the rate is taken between the first and "
        "the last handler. WAL and CPU are those of claiming and settling, without enqueuing and "
        "without the start of the worker."
    )
    columns = (
        Column("rate", "events/s"),
        Column("seconds", "for seconds", 1),
        Column("wal", "WAL bytes/event"),
        Column("client_cpu", "client CPU s/10 k", 2),
        Column("server_cpu", "server CPU s/10 k", 2),
        Column("memory", "client MB"),
        Column("handled", "events"),
        Column("twice", "run twice"),
    )
    chart = "rate"
    steady = True
    processes = 1

    def rounds(self, mode: Mode) -> int:
        """As often as the mode has rounds."""
        return mode.rounds

    def cells(self, context: Context) -> list[Cell]:
        """Every configuration of every peer."""
        return [Cell(peer.name, known.name) for peer, known in context.configurations()]

    def count(self, context: Context, cell: Cell) -> int:
        """How many events wait."""
        return context.size(cell, context.mode.seconds)

    def expected(self, context: Context, count: int) -> float:  # noqa: ARG002 - a million matters
        """How many seconds that should take, at most."""
        return context.mode.seconds

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """Fill, then let the workers run until all is handled."""
        count = self.count(context, cell)
        with context.prepared(cell) as (database, producer, stack):
            fill(cell, producer, count)
            database.settle_down()
            workers = [context.session(cell, database, stack) for _ in range(self.processes)]
            log = database.wal_bytes()
            for worker in workers:
                worker.say("work", concurrency=CONCURRENCY)
            patience = _PATIENCE_FACTOR * self.expected(context, count) + 20
            wait_counts(workers, 1, patience)
            before = min(sum(worker.count for worker in workers), count - 1)
            client = sum(worker.cpu_seconds() for worker in workers)
            server = database.cpu_seconds()
            if not wait_counts(workers, count, patience):
                done = sum(worker.count for worker in workers)
                raise DriverError(f"{done} of {count} handled in {patience:.0f} s")
            memory = max(worker.resident_megabytes() for worker in workers)
            time.sleep(_ACKNOWLEDGE_SECONDS)  # outcomes that a peer gathers before it writes them
            client = sum(worker.cpu_seconds() for worker in workers) - client
            server, log = database.cpu_seconds() - server, database.wal_bytes() - log
            for worker in workers:
                worker.reply()
            tallies = [worker.stop() for worker in workers]
        values = check_each_once(tallies, count)
        seen = rate(tallies)
        context.rates[cell.peer, cell.configuration, cell.case] = seen
        return values | {
            "rate": seen,
            "seconds": count / seen,
            "wal": log / count,
            "client_cpu": 1e4 * client / (count - before),
            "server_cpu": 1e4 * server / (count - before),
            "memory": memory,
        }, {}


class DrainByTwo(Drain):
    """Two processes."""

    name = "drain2"
    title = "Drain: two processes, concurrency 10 each"
    says = "As above, with two processes on the same queue; they share the cores with the server."
    processes = 2

    def rounds(self, mode: Mode) -> int:
        """Fewer than with one."""
        return mode.fewer_rounds

    def cells(self, context: Context) -> list[Cell]:
        """Ours in both configurations, and the fastest configuration of each peer."""
        own = [
            Cell(peer.name, known.name)
            for peer, known in context.configurations()
            if peer.name == "arvo"
        ]
        return own + [Cell(p.name, known.name) for p, known in context.best() if p.name != "arvo"]


class Million(Drain):
    """Four processes and a fixed, large number; ours only, and only in the full mode."""

    name = "million"
    title = "A million events, four processes (ours)"
    says = "Nothing may be lost; the memory is that of the largest worker process at the end."
    chart = ""
    processes = 4

    def rounds(self, mode: Mode) -> int:  # noqa: ARG002 - it is long
        """One."""
        return 1

    def cells(self, context: Context) -> list[Cell]:
        """Ours in both configurations."""
        return [
            Cell(peer.name, known.name)
            for peer, known in context.configurations()
            if peer.name == "arvo" and context.mode.many
        ]

    def count(self, context: Context, cell: Cell) -> int:  # noqa: ARG002 - the same for all
        """As many as the mode says."""
        return context.mode.many

    def expected(self, context: Context, count: int) -> float:  # noqa: ARG002 - so many take long
        """At the slowest rate that is worth waiting for."""
        return count / _SLOWEST
