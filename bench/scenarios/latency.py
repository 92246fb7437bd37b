"""Latency: one event or chain at a time through a system that does nothing else."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from bench.record import percentile
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
from bench.session import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.mode import Mode

_WARM_UP = 3
_PAUSE_SECONDS = (0.005, 0.03)
_ONE_PATIENCE = 15.0


class Latency(Scenario):
    """Dispatch to handler."""

    name = "latency"
    title = "Idle: dispatch until the handler starts"
    says = (
        "A producer in another process enqueues one event, waits until it was handled, pauses, and "
        "enqueues the next. From just before the call until the handler runs, in milliseconds. "
        "Idle CPU: of one waiting worker process and of the whole server, in percent of one core."
    )
    columns: tuple[Column, ...] = (
        Column("p50", "p50 ms", 1),
        Column("p99", "p99 ms", 1),
        Column("most", "max ms", 1),
        Column("count", "samples"),
        Column("idle_client", "idle client CPU %", 2),
        Column("idle_server", "idle server CPU %", 2),
    )
    chart = "p50"
    reach = "p99"
    hops = 1
    stateful = False

    def count(self, mode: Mode) -> int:
        """How many, at most."""
        return mode.latency_count

    def cells(self, context: Context) -> list[Cell]:
        """Every configuration of every peer; in brief only the best of each."""
        chosen = context.configurations() if context.mode.thorough else context.best()
        return [Cell(peer.name, known.name) for peer, known in chosen if not known.batch]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """One at a time."""
        with context.prepared(cell) as (database, producer, stack):
            worker = context.session(cell, database, stack, stateful=self.stateful)
            worker.work(CONCURRENCY, hops=self.hops)
            producer.send(0)
            time.sleep(0.5)
            idle = min(context.mode.latency_seconds, 5.0) if self.hops == 1 else 0.0
            client, server = worker.cpu_seconds(), database.cpu_seconds()
            time.sleep(idle)
            client, server = worker.cpu_seconds() - client, database.cpu_seconds() - server
            began = time.monotonic()
            sent: list[float] = []
            while len(sent) < self.count(context.mode) + _WARM_UP:
                sent.append(producer.send(1, first=len(sent))["began"])
                if not worker.wait_count(len(sent) * self.hops, _ONE_PATIENCE):
                    raise DriverError(f"event {len(sent)} was not handled in {_ONE_PATIENCE} s")
                time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311  not in step with a poll
                if time.monotonic() - began > context.mode.latency_seconds and len(sent) > _WARM_UP:
                    break
            tally = worker.stop()
        handled = tally.firsts()
        waited = [
            1e3 * (handled[(number + 1) * self.hops - 1] - at) for number, at in enumerate(sent)
        ]
        values = _spread(waited[_WARM_UP:])
        if idle:
            values["idle_client"] = 100 * client / idle
            values["idle_server"] = 100 * server / idle
        return values, {}


class Chain(Latency):
    """Four hops."""

    name = "chain"
    title = "Idle: a chain of 4 hops"
    says = (
        "Each handler enqueues (ours: emits) the next event; from just before the first dispatch "
        "until the fourth handler runs, in milliseconds. In ours an event and the acknowledgement "
        "of the one before commit together; in the peers these are two transactions."
    )
    columns = Latency.columns[:4]
    hops = 4

    def count(self, mode: Mode) -> int:
        """Chains."""
        return mode.chains


class Workflow(Chain):
    """Six stateful steps."""

    name = "workflow"
    title = "Idle: a workflow of 6 stateful steps (ours)"
    says = "Each step reads the state, writes the next one and emits the next event."
    chart = ""
    hops = 6
    stateful = True

    def cells(self, context: Context) -> list[Cell]:
        """Ours."""
        return [Cell("arvo", "default")] if "arvo" in context.environments else []


class Burst(Scenario):
    """Many chains at once."""

    name = "burst"
    title = "500 chains of 4 hops at once"
    says = (
        "All chains are started at once, one per call on ten connections or in one batch; from the "
        "first dispatch until the last of all handlers. One worker process."
    )
    columns = (Column("rate", "chains/s"), Column("seconds", "seconds", 2), *METERS)
    chart = "rate"

    def cells(self, context: Context) -> list[Cell]:
        """Ours in both configurations, the fastest of each peer; started in two ways."""
        return [
            Cell(peer.name, known.name, case)
            for case in ("one per call", "in a batch")
            for peer, known in context.configurations()
            if not known.batch
            if peer.name == "arvo" or known is peer.fast
            if peer.name == "arvo" or case == "one per call" or context.mode.thorough
            if peer.bulk or case == "one per call"
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """Start them, and wait for the last."""
        chains, hops = context.mode.burst, Chain.hops
        with context.prepared(cell) as (database, producer, stack):
            worker = context.session(cell, database, stack)
            worker.work(CONCURRENCY, hops=hops)
            producer.send(0, connections=10)
            time.sleep(0.5)
            meter = Meter(database, worker, producer)
            batched = cell.case == "in a batch"
            began = producer.send(
                chains, batch=chains if batched else 1, connections=1 if batched else 10
            )["began"]
            patience = 60.0
            if not worker.wait_count(chains * hops, patience):
                raise DriverError(f"{worker.count} of {chains * hops} handled in {patience:.0f} s")
            used = meter.read(chains * hops)
            tally = worker.stop()
        seconds = max(tally.times) - began
        return used | {"rate": chains / seconds, "seconds": seconds}, {}


def _spread(milliseconds: Sequence[float]) -> Values:
    waited = list(milliseconds)
    return {
        "p50": percentile(waited, 0.5),
        "p99": percentile(waited, 0.99),
        "most": max(waited),
        "count": float(len(waited)),
    }
