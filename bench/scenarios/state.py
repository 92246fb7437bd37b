"""State: stateful steps, and cycles of the memory outside a worker. Ours only."""

from __future__ import annotations

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
from bench.session import DriverError

_STEPS = 10
_GUESS = 1000


class Steps(Scenario):
    """Claim with state, write, emit, settle."""

    name = "steps"
    title = "Stateful steps (ours)"
    says = (
        f"Workflows of {_STEPS} steps; each step reads the state, writes the next one and emits "
        "the next event, and all of that is settled in one transaction. One process. The floor "
        "below is `stateful step` among the floors."
    )
    columns = (
        Column("rate", "steps/s"),
        Column("seconds", "for seconds", 1),
        Column("wal", "WAL bytes/step"),
        Column("client_cpu", "client CPU s/10 k", 2),
        Column("server_cpu", "server CPU s/10 k", 2),
        Column("handled", "steps"),
        Column("twice", "run twice"),
    )
    steady = True

    def cells(self, context: Context) -> list[Cell]:
        """Ours in both configurations."""
        return [
            Cell(peer.name, known.name)
            for peer, known in context.configurations()
            if peer.name == "arvo"
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """Fill with first steps; let the workers run until all workflows are over."""
        seen = context.rates.get((cell.peer, cell.configuration, self.name), _GUESS)
        chains = max(20, int(seen * context.mode.seconds / _STEPS))
        with context.prepared(cell) as (database, producer, stack):
            fill(cell, producer, chains)
            database.settle_down()
            worker = context.session(cell, database, stack, stateful=True)
            log = database.wal_bytes()
            worker.work(CONCURRENCY, hops=_STEPS)
            client, server = worker.cpu_seconds(), database.cpu_seconds()
            count = chains * _STEPS
            patience = 10 * context.mode.seconds + 20
            if not worker.wait_count(count, patience):
                raise DriverError(f"{worker.count} of {count} steps in {patience:.0f} s")
            client = worker.cpu_seconds() - client
            server, log = database.cpu_seconds() - server, database.wal_bytes() - log
            tally = worker.stop()
        values = check_each_once([tally], count)
        context.rates[cell.peer, cell.configuration, self.name] = rate([tally])
        return values | {
            "rate": rate([tally]),
            "seconds": count / rate([tally]),
            "wal": log / count,
            "client_cpu": 1e4 * client / count,
            "server_cpu": 1e4 * server / count,
        }, {}


class Memory(Scenario):
    """Lock, read, write, unlock."""

    name = "memory"
    title = "Memory cycles (ours)"
    says = "lock + read + write + unlock on PostgresMachineMemory, outside a worker."
    columns = (Column("rate", "cycles/s"),)

    def cells(self, context: Context) -> list[Cell]:
        """On one connection and on ten."""
        if "arvo" not in context.environments:
            return []
        return [Cell("arvo", "default", f"{lanes} connections") for lanes in (1, 10)]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """For a fixed time."""
        lanes = int(cell.case.split()[0])
        with context.prepared(cell) as (_, producer, _):
            done = producer.ask("memory", connections=lanes, seconds=context.mode.short_seconds)
        return {"rate": done["count"] / done["seconds"]}, {}
