"""State: stateful steps, and cycles of the memory outside a worker. Ours only."""

from __future__ import annotations

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
        *METERS,
        Column("handled", "steps"),
        Column("twice", "run twice"),
    )
    steady = True

    def cells(self, context: Context) -> list[Cell]:
        """Ours in both configurations."""
        return [
            Cell(peer.name, known.name)
            for peer, known in context.configurations()
            if peer.name == "arvo" and not known.batch
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """Fill with first steps; let the workers run until all workflows are over."""
        seen = context.rates.get((cell.peer, cell.configuration, self.name), _GUESS)
        chains = max(20, int(seen * context.mode.seconds / _STEPS))
        with context.prepared(cell) as (database, producer, stack):
            worker = context.session(cell, database, stack, stateful=True)
            fill(cell, producer, chains)
            database.settle_down()
            worker.ready()
            meter = Meter(database, worker)
            worker.work(CONCURRENCY, hops=_STEPS)
            meter.start_clock()
            count = chains * _STEPS
            patience = 10 * context.mode.seconds + 20
            if not worker.wait_count(count, patience):
                raise DriverError(f"{worker.count} of {count} steps in {patience:.0f} s")
            used = meter.read(count)
            tally = worker.stop()
        values = check_each_once([tally], count)
        context.rates[cell.peer, cell.configuration, self.name] = rate([tally])
        return values | used | {"rate": rate([tally]), "seconds": count / rate([tally])}, {}


class Memory(Scenario):
    """Lock, read, write, unlock."""

    name = "memory"
    title = "Memory cycles"
    says = (
        "lock + read + write + unlock, outside a worker: ours on PostgresMachineMemory. The floor "
        "(`raw`) is four statements that do the same on two tables of nothing else, by psycopg and "
        "in a transaction each: no version of the state is lost there either, but nobody fences, "
        "hands on, or keeps the tree of subjects. The seed's package cannot be installed by name; "
        "its rates, 504 and 1,407 cycles/s on one and ten connections, were measured elsewhere."
    )
    columns = (Column("rate", "cycles/s"), *METERS)
    chart = "rate"
    one_chart = True

    def cells(self, context: Context) -> list[Cell]:
        """On one connection and on ten."""
        return [
            Cell(name, "default", f"{lanes} connections")
            for lanes in (1, 10)
            for name in ("arvo", "raw")
            if name in context.environments
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """For a fixed time."""
        lanes = int(cell.case.split()[0])
        with context.prepared(cell) as (database, producer, _):
            producer.ready()
            meter = Meter(database, producer)
            done = producer.ask("memory", connections=lanes, seconds=context.mode.short_seconds)
            used = meter.read(done["count"])
        return used | {"rate": done["count"] / done["seconds"]}, {}
