"""Held: a steady flow while somebody holds an old snapshot, or an open writing transaction."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.record import percentile
from bench.scenarios.scenario import CONCURRENCY, Cell, Column, Context, Scenario, Series, Values
from bench.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.mode import Mode
    from bench.server import Database

_BATCH = 10
_FAILING = 20
_PATIENCE = 60.0
_PART = 0.2


@dataclass(frozen=True)
class _Sample:
    """The meters at the end of a bucket."""

    at: float
    cpu: float
    dead: int
    size: int


class Held(Scenario):
    """Rate, latency, dead rows and the server's work over time."""

    name = "held"
    title = "A held snapshot"
    says = (
        "Events are offered at a fixed rate in batches of 10 while a reader holds a REPEATABLE "
        "READ snapshot (`snapshot`), a transaction that has written stays open (`writer`), or "
        "nobody does (`clean`). `mix`: every 20th event of ours fails the first time and is "
        "retried after a second, which is then the p99. The start is the first fifth of the time, "
        "the end its last: a queue that does not mind has the same figures in both."
    )
    columns = (
        Column("rate_start", "events/s, start"),
        Column("rate_end", "end"),
        Column("p50_start", "p50 ms, start", 1),
        Column("p50_end", "end", 1),
        Column("p99_start", "p99 ms, start", 1),
        Column("p99_end", "end", 1),
        Column("cpu_start", "server CPU s/10 k, start", 2),
        Column("cpu_end", "end", 2),
        Column("dead", "dead rows, end"),
        Column("megabytes", "MB, end"),
        Column("missing", "not handled"),
    )

    def cells(self, context: Context) -> list[Cell]:
        """Quick: ours and the floor under a snapshot. Full: everybody, and every way of holding."""
        cells = [Cell("arvo", "default", "snapshot")]
        if context.mode.thorough:
            ways = ("clean", "writer", "clean mix", "snapshot mix")
            cells += [Cell("arvo", "default", case) for case in ways]
            cells += [
                Cell(peer.name, known.name, "snapshot")
                for peer, known in context.best()
                if peer.name != "arvo"
            ]
        else:
            cells.append(Cell("raw", "fast", "snapshot"))
        return [cell for cell in cells if cell.peer in context.environments]

    def rounds(self, mode: Mode) -> int:  # noqa: ARG002 - it is long
        """One."""
        return 1

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """Offer, and read the meters at the end of each bucket."""
        mode = context.mode
        mix = cell.case.endswith("mix")
        with context.prepared(cell) as (database, producer, stack):
            worker = context.session(cell, database, stack, **({"retries": True} if mix else {}))
            worker.work(CONCURRENCY, failing=_FAILING if mix else 0)
            producer.send(0)
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "sent"
            stack.enter_context(_holding(database, cell.case.split()[0]))
            producer.say(
                "send",
                first=0,
                count=int(mode.held_rate * mode.held_seconds),
                batch=_BATCH,
                rate=mode.held_rate,
                seconds=mode.held_seconds,
                tally=str(path),
            )
            samples = list(_sample(database, mode.held_seconds, mode.held_bucket))
            offered = producer.reply(_PATIENCE)["count"]
            worker.wait_count(offered, _PATIENCE)
            handled = worker.stop().firsts()
            sent = Tally.read(path).firsts()
        series = _series(sent, handled, samples, mode.held_bucket)
        values = _ends(series)
        values["dead"] = float(samples[-1].dead)
        values["megabytes"] = samples[-1].size / 1e6
        values["missing"] = float(len(sent) - len(handled))
        return values, series


@contextlib.contextmanager
def _holding(database: Database, way: str) -> Iterator[None]:
    """Keep a transaction open in another session of the same database."""
    if way == "clean":
        yield
        return
    with database.connect() as connection:
        if way == "snapshot":
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SELECT count(*) FROM pg_class")
        else:
            connection.execute("CREATE TABLE bench_writer (number integer)")
            connection.execute("BEGIN")
            connection.execute("INSERT INTO bench_writer VALUES (1)")
        yield
        connection.execute("ROLLBACK")


def _sample(database: Database, seconds: float, bucket: float) -> Iterator[_Sample]:
    began = time.monotonic()
    yield _Sample(began, database.cpu_seconds(), database.dead_tuples(), database.size_bytes())
    for number in range(1, round(seconds / bucket) + 1):
        time.sleep(max(0.0, began + number * bucket - time.monotonic()))
        now = time.monotonic()
        yield _Sample(now, database.cpu_seconds(), database.dead_tuples(), database.size_bytes())


def _series(
    sent: dict[int, float], handled: dict[int, float], samples: list[_Sample], bucket: float
) -> Series:
    """Figures per bucket; an event belongs to the bucket in which it was sent, or was handled."""
    began = samples[0].at
    buckets = len(samples) - 1
    waits: list[list[float]] = [[] for _ in range(buckets)]
    counts = [0] * buckets
    for number, at in sent.items():
        place = int((at - began) / bucket)
        if 0 <= place < buckets and number in handled:
            waits[place].append(1e3 * (handled[number] - at))
    for at in handled.values():
        place = int((at - began) / bucket)
        if 0 <= place < buckets:
            counts[place] += 1
    middles = [(number + 0.5) * bucket for number in range(buckets)]
    cpu = [after.cpu - before.cpu for before, after in itertools.pairwise(samples)]
    return {
        "rate": [(at, count / bucket) for at, count in zip(middles, counts, strict=True)],
        "p50": [(at, percentile(own, 0.5)) for at, own in zip(middles, waits, strict=True) if own],
        "p99": [(at, percentile(own, 0.99)) for at, own in zip(middles, waits, strict=True) if own],
        "cpu": [
            (at, 1e4 * used / count)
            for at, used, count in zip(middles, cpu, counts, strict=True)
            if count
        ],
        "dead": [(sample.at - began, float(sample.dead)) for sample in samples],
    }


def _ends(series: Series) -> Values:
    """The mean of each figure over the first and over the last part of the time."""
    values: Values = {}
    for name in ("rate", "p50", "p99", "cpu"):
        points = [value for _, value in series[name]]
        if not points:
            continue
        part = max(1, round(_PART * len(points)))
        values[f"{name}_start"] = sum(points[:part]) / part
        values[f"{name}_end"] = sum(points[-part:]) / part
    return values
