"""Drain: no-op handlers work off what waits, in one process and in two."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.peers import PEERS
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
    check_each_once,
    fill,
    rate,
)
from bench.session import DriverError, wait_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.mode import Mode
    from bench.peers.peer import Configuration
    from bench.session import Session

_PATIENCE_FACTOR = 10
_ACKNOWLEDGE_SECONDS = 0.3
_SLOWEST = 5_000  # events per second of the million
_SAMPLE_SECONDS = 1.0
_RIVALS = 3


class Drain(Scenario):
    """One process of concurrency 10."""

    name = "drain"
    title = "Drain: no-op handlers, one process, concurrency 10"
    says = (
        "Events that wait are handled as fast as they go; the rate is taken between the first and "
        "the last handler. WAL and CPU are those of claiming and settling, without enqueuing and "
        "without the start of the worker."
    )
    columns: tuple[Column, ...] = (
        Column("rate", "events/s"),
        Column("seconds", "for seconds", 1),
        *METERS,
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
            workers = [context.session(cell, database, stack) for _ in range(self.processes)]
            fill(cell, producer, count)
            database.settle_down()
            for worker in workers:
                worker.ready()
            meter = Meter(database, *workers)
            for worker in workers:
                worker.say("work", concurrency=CONCURRENCY)
            patience = _PATIENCE_FACTOR * self.expected(context, count) + 20
            wait_counts(workers, 1, patience)
            begun = min(sum(worker.count for worker in workers), count - 1)
            meter.start_clock()
            series = self.watch(workers, count, patience)
            memory = max(worker.resident_megabytes() for worker in workers)
            time.sleep(_ACKNOWLEDGE_SECONDS)  # outcomes that a peer gathers before it writes them
            used = meter.read(count, begun)
            for worker in workers:
                worker.reply()
            tallies = [worker.stop() for worker in workers]
        values = check_each_once(tallies, count)
        seen = rate(tallies)
        if self.processes == 1:
            context.rates[cell.peer, cell.configuration, ""] = seen
        return values | used | {"rate": seen, "seconds": count / seen, "memory": memory}, series

    def watch(self, workers: list[Session], count: int, patience: float) -> Series:
        """Wait until all is handled.

        Raises:
            DriverError: it is not.
        """
        if not wait_counts(workers, count, patience):
            for worker in workers:
                if worker.failed:
                    worker.reply()
            done = sum(worker.count for worker in workers)
            raise DriverError(f"{done} of {count} handled in {patience:.0f} s")
        return {}


class DrainByTwo(Drain):
    """Two processes."""

    name = "drain2"
    title = "Drain: two processes, concurrency 10 each"
    says = "As above, with two processes on the same queue; they share the cores with the server."
    processes = 2

    def rounds(self, mode: Mode) -> int:
        """Fewer than with one, but not a single one: the mean of two, in the quick mode."""
        return max(mode.fewer_rounds, min(mode.rounds, 2))

    def cells(self, context: Context) -> list[Cell]:
        """Ours in both configurations, and the fastest configuration of each peer."""
        own = [Cell("arvo", known.name) for known in _own(context)]
        rivals = context.best() if context.mode.thorough else context.leaders(_RIVALS)
        return own + [Cell(p.name, known.name) for p, known in rivals if p.name != "arvo"]


class Steady(Drain):
    """One process, longer than a lease, when the mode's drains are shorter."""

    name = "steady"
    title = "Drain that outlasts a lease"
    says = (
        "As the drain with one process, but longer than the lease of ours (8 s), so that looking "
        "for leases that have expired is part of it: ours, and the three peers that were the "
        "fastest above. Compare each with its own rate there."
    )

    def rounds(self, mode: Mode) -> int:  # noqa: ARG002 - it is long
        """One."""
        return 1

    def cells(self, context: Context) -> list[Cell]:
        """Ours and the best, where no other drain is long enough."""
        if not context.mode.steady_seconds:
            return []
        leaders = context.leaders(_RIVALS)
        return [Cell(peer.name, known.name) for peer, known in leaders if peer.name != "raw"]

    def count(self, context: Context, cell: Cell) -> int:
        """How many events wait."""
        return context.size(cell, context.mode.steady_seconds)

    def length(self, mode: Mode) -> float:
        """That of this drain."""
        return mode.steady_seconds

    def expected(self, context: Context, count: int) -> float:  # noqa: ARG002 - a million matters
        """How many seconds that should take, at most."""
        return context.mode.steady_seconds


class Million(Drain):
    """Four processes and a fixed, large number; ours only, and only in the full mode."""

    name = "million"
    title = "A million events, four processes (ours)"
    says = (
        "Nothing may be lost, nothing may run twice. The memory is that of the largest worker "
        "process, at the end and at its most; some 4 MB of it are the harness's own counting."
    )
    columns = (*Drain.columns, Column("peak", "client MB, most"))
    chart = ""
    processes = 4

    def rounds(self, mode: Mode) -> int:  # noqa: ARG002 - it is long
        """One."""
        return 1

    def cells(self, context: Context) -> list[Cell]:
        """Ours in both configurations."""
        return [Cell("arvo", known.name) for known in _own(context) if context.mode.many]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """As ever, and what the memory was at its most."""
        values, series = super().run(context, cell)
        most = max((value for points in series.values() for _, value in points), default=0.0)
        return values | {"peak": max(most, values["memory"])}, series

    def watch(self, workers: list[Session], count: int, patience: float) -> Series:
        """Read each process's memory every second until all is handled."""
        began = time.monotonic()
        series: Series = {f"process {number}": [] for number in range(1, len(workers) + 1)}
        while not wait_counts(workers, count, _SAMPLE_SECONDS):
            now = time.monotonic() - began
            if now > patience or any(worker.failed for worker in workers):
                super().watch(workers, count, 0.0)
            for points, worker in zip(series.values(), workers, strict=True):
                points.append((now, worker.resident_megabytes()))
        return series

    def count(self, context: Context, cell: Cell) -> int:  # noqa: ARG002 - the same for all
        """As many as the mode says."""
        return context.mode.many

    def expected(self, context: Context, count: int) -> float:  # noqa: ARG002 - so many take long
        """At the slowest rate that is worth waiting for."""
        return count / _SLOWEST


def _own(context: Context) -> Iterator[Configuration]:
    """Ours in every configuration, if it takes part."""
    if "arvo" in context.environments:
        yield from PEERS["arvo"].configurations
