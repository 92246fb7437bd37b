"""Slow: producers that keep their transactions open after the insert. Ours only."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from bench.document import document
from bench.record import percentile
from bench.scenarios.flow import Flow
from bench.scenarios.scenario import Cell, Column, Context, Scenario, Series, Values

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from bench.mode import Mode
    from bench.server import Database

CLEAN, SLOW = "nobody is slow", "slow producers"
_NUMBER = 1_000_000_000  # of the slow producers' events
_STEP = 0.1


class Slow(Scenario):
    """What late commits cost the others, and how soon their events come."""

    name = "slow"
    title = "Producers that commit late (ours)"
    says = (
        "Two databases side by side, the same offered rate. In one, producers dispatch an event "
        "each and commit only so many seconds later, in turn. From just before each commit until "
        "the handler of its event runs; the rate and the latency of everybody else."
    )
    columns = (
        Column("rate", "others, events/s"),
        Column("p50", "p50 ms", 1),
        Column("p99", "p99 ms", 1),
        Column("open", "open s"),
        Column("late", "late commits"),
        Column("commit_p50", "commit to handler, p50 ms", 1),
        Column("commit_most", "max ms", 1),
        Column("missing", "lost"),
    )

    def cells(self, context: Context) -> list[Cell]:
        """Ours."""
        return [Cell("arvo", "default")] if "arvo" in context.environments else []

    def rounds(self, mode: Mode) -> int:  # noqa: ARG002 - it is long
        """One."""
        return 1

    def measure(self, context: Context, cell: Cell) -> Iterator[tuple[Cell, Values, Series]]:
        """Offer to both; be slow in one."""
        mode = context.mode
        spread = mode.slow_count * _STEP
        seconds = mode.slow_seconds + spread + 1.0
        with contextlib.ExitStack() as stack:
            flows = {case: Flow(context, cell, stack) for case in (CLEAN, SLOW)}
            late = _Late(flows[SLOW].database, mode.slow_count, stack)
            for flow in flows.values():
                flow.sample()
                flow.offer(mode.held_rate, seconds)
            thread = threading.Thread(target=late.run, args=(mode.slow_seconds,))
            thread.start()
            time.sleep(seconds)
            thread.join()
            for flow in flows.values():
                flow.sample()
            for case, flow in flows.items():
                values, series = flow.finish(*([late.note] if case == SLOW else []))
                if case == SLOW:
                    values |= late.values() | {"open": mode.slow_seconds}
                    values["missing"] += len(late.committed) - len(late.handled)
                yield Cell(cell.peer, cell.configuration, case), values, series


class _Late:
    """So many transactions that stay open, each on a connection of its own."""

    def __init__(self, database: Database, count: int, stack: contextlib.ExitStack) -> None:
        self._connections: list[psycopg.Connection[tuple[object, ...]]] = [
            stack.enter_context(database.connect()) for _ in range(count)
        ]
        self.committed: dict[int, float] = {}
        self.handled: dict[int, float] = {}

    def run(self, seconds: float) -> None:
        """Dispatch one after the other; commit each when its time is over."""
        began = time.monotonic()
        for turn, connection in enumerate(self._connections):
            time.sleep(max(0.0, began + turn * _STEP - time.monotonic()))
            connection.execute("BEGIN")
            event = Jsonb(document(_NUMBER + turn))
            connection.execute("SELECT count(*) FROM arvo_v1.dispatch(%s)", (event,))
        for turn, connection in enumerate(self._connections):
            time.sleep(max(0.0, began + turn * _STEP + seconds - time.monotonic()))
            self.committed[_NUMBER + turn] = time.monotonic()
            connection.execute("COMMIT")

    def note(self, number: int, at: float) -> bool:
        """Whether an event is of the late; keeps when it was handled."""
        if number < _NUMBER:
            return False
        self.handled[number] = at
        return True

    def values(self) -> Values:
        """From the commit to the handler."""
        waits = [1e3 * (at - self.committed[number]) for number, at in sorted(self.handled.items())]
        values = {"late": float(len(self.committed))}
        if waits:
            values |= {"commit_p50": percentile(waits, 0.5), "commit_most": max(waits)}
        return values
