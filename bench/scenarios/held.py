"""Held: a steady flow while somebody holds an old snapshot, or an open writing transaction."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bench.peers import PEERS
from bench.scenarios.flow import BATCH as _BATCH
from bench.scenarios.flow import Flow, together
from bench.scenarios.scenario import Cell, Column, Context, Scenario, Series, Values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.mode import Mode
    from bench.server import Database

CLEAN, SNAPSHOT, WRITER = "clean", "snapshot", "writer"
_WAYS = (CLEAN, SNAPSHOT, WRITER)


class Held(Scenario):
    """Rate, latency, dead rows and the server's work over time."""

    name = "held"
    title = "A held snapshot"
    says = (
        "Events are offered at a fixed rate in batches of 10 to three databases of one server side "
        "by side, each with a producer and a worker of its own: in one a reader holds a REPEATABLE "
        "READ snapshot (`snapshot`), in one a transaction that has written stays open (`writer`), "
        "in one nobody does (`clean`). A snapshot holds back vacuum in its own database only, so "
        "the three differ in nothing else. Of ours every 20th event fails the first time and is "
        "retried, and every third goes to an ordered queue with one of a thousand keys; latencies "
        "are those of events that did not fail. Peers get plain events, and where they drain too "
        "slowly for that rate a sixth of what they drain. The start is the first "
        "fifth of the time, the end its last. CPU is that of the database's own sessions; buffers "
        "are all that they touched (enqueue, claim, settle); a claim is one of ten events, the "
        "median of seven at the end of each bucket; those that promote what is due, or look for "
        "expired leases, touch several times as many, pinned or not."
    )
    columns = (
        Column("rate", "events/s"),
        Column("rate_end", "end"),
        Column("p50", "p50 ms", 1),
        Column("p99", "p99 ms", 1),
        Column("p99_end", "end", 1),
        Column("p99_ordered", "p99 ms, ordered", 1),
        Column("cpu_start", "server CPU s/10 k, start", 2),
        Column("cpu_end", "end", 2),
        Column("buffers_start", "buffers/event, start", 1),
        Column("buffers_end", "end", 1),
        Column("claim_start", "buffers/claim, start"),
        Column("claim_end", "end"),
        Column("dead", "dead rows, end"),
        Column("megabytes", "MB, end"),
        Column("missing", "not handled"),
    )

    def cells(self, context: Context) -> list[Cell]:
        """Quick: ours and the floor. Full: everybody."""
        chosen = context.best() if context.mode.thorough else context.leaders(0)
        return [Cell(peer.name, known.name) for peer, known in chosen]

    def rounds(self, mode: Mode) -> int:  # noqa: ARG002 - it is long
        """One."""
        return 1

    def rate(self, context: Context, cell: Cell) -> int:
        """Events per second that each of the three is offered."""
        guess = PEERS[cell.peer].configuration(cell.configuration).guess
        drained = context.rates.get((cell.peer, cell.configuration, ""), guess)
        return min(context.mode.held_rate, max(_BATCH, int(drained / (2 * len(_WAYS)))))

    def measure(self, context: Context, cell: Cell) -> Iterator[tuple[Cell, Values, Series]]:
        """Offer to all, and read the meters at the end of each bucket."""
        mode = context.mode
        ours = cell.peer == "arvo"
        seconds = mode.held_seconds if ours or mode.thorough else mode.held_seconds / 2
        with contextlib.ExitStack() as stack:
            flows = {way: Flow(context, cell, stack, mix=ours, probe=ours) for way in _WAYS}
            for way, flow in flows.items():
                stack.enter_context(_holding(flow.database, way))
            for flow in flows.values():
                flow.offer(self.rate(context, cell), seconds)
            together(list(flows.values()), seconds, mode.held_bucket)
            for way, flow in flows.items():
                yield (Cell(cell.peer, cell.configuration, way), *flow.finish())


@contextlib.contextmanager
def _holding(database: Database, way: str) -> Iterator[None]:
    """Keep a transaction open in another session of the same database."""
    if way == CLEAN:
        yield
        return
    with database.connect() as connection:
        if way == SNAPSHOT:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SELECT count(*) FROM pg_class")
        else:
            connection.execute("CREATE TABLE bench_writer (number integer)")
            connection.execute("BEGIN")
            connection.execute("INSERT INTO bench_writer VALUES (1)")
        yield
        connection.execute("ROLLBACK")
