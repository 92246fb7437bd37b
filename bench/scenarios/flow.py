"""Flow: events offered at a fixed rate to a worker, and what became of them over time."""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from bench.document import document, is_ordered
from bench.record import percentile
from bench.scenarios.scenario import CONCURRENCY, Cell, Context, Series, Values
from bench.tally import Tally

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence

    import psycopg

    from bench.server import Database

BATCH = 10
FAILING = 20
PATIENCE = 60.0
PROBE = "com.bench.probe"
_PART = 0.2
_LANES = 3  # so that one slow commit does not hold up what is offered
_WARM_UP = 6  # until plans and catalogs are cached
_CLAIMS = 7  # of which the median counts: one that promotes or sweeps for others touches more


@dataclass(frozen=True)
class Sample:
    """The meters of one database at the end of a bucket.

    Attributes:
        at: when.
        cpu: seconds of the database's own sessions.
        dead: dead rows, as the statistics know them.
        size: bytes on disk.
        buffers: pages touched so far.
        claim: pages that a claim of ten events from a queue of its own touched, the median of some.
    """

    at: float
    cpu: float
    dead: int
    size: int
    buffers: int
    claim: int | None


class Flow:
    """A producer and a worker on a database of their own.

    Args:
        context: of the run.
        cell: whose peer works.
        stack: ends all with it.
        mix: whether some events fail the first time, and some belong to ordered keys.
        probe: whether the buffers of a claim are taken with each sample; ours only.
    """

    def __init__(
        self,
        context: Context,
        cell: Cell,
        stack: contextlib.ExitStack,
        *,
        mix: bool = False,
        probe: bool = False,
    ) -> None:
        self.cell = cell
        self.database: Database = stack.enter_context(
            context.server.database(context.template(cell))
        )
        settings = {"mix": True} if mix else {}
        self._producer = context.session(cell, self.database, stack, **settings)
        self._worker = context.session(cell, self.database, stack, **settings)
        self._worker.work(CONCURRENCY, failing=FAILING if mix else 0)
        self._producer.send(0, connections=_LANES)
        self._path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "sent"
        self._failing = FAILING if mix else 0
        self._probe = self.database.connect() if probe else None
        self._samples: list[Sample] = []
        if self._probe is not None:
            stack.enter_context(self._probe)
            self._probe.execute("SELECT arvo_v1.register_queue(%s)", (PROBE,))
            self._probe.execute("CREATE TEMP TABLE bench_probe (lease bigint, delivery bigint)")
            for _ in range(_WARM_UP):
                claim_buffers(self._probe)

    def offer(self, rate: int, seconds: float) -> None:
        """Begin to offer so many per second."""
        self._producer.say(
            "send",
            first=0,
            count=int(rate * seconds),
            batch=BATCH,
            connections=_LANES,
            rate=rate,
            seconds=seconds,
            tally=str(self._path),
        )

    def sample(self) -> None:
        """Read the meters."""
        database = self.database
        claim = (
            None
            if self._probe is None
            else round(median(claim_buffers(self._probe) for _ in range(_CLAIMS)))
        )
        self._samples.append(
            Sample(
                time.monotonic(),
                database.backend_seconds(),
                database.dead_tuples(),
                database.size_bytes(),
                database.buffers(),
                claim,
            )
        )

    def finish(
        self, others: Callable[[int, float], bool] = lambda _number, _at: False
    ) -> tuple[Values, Series]:
        """Wait until all that was offered has been handled, and say how it went.

        Args:
            others: whether the event of that number, handled then, was somebody else's.
        """
        offered = self._producer.reply(PATIENCE)["count"]
        self._worker.wait_count(offered, PATIENCE)
        handled = self._worker.stop().firsts()
        sent = Tally.read(self._path).firsts()
        own = {number: at for number, at in handled.items() if not others(number, at)}
        return evaluate(sent, own, self._samples, self._failing)


def claim_buffers(connection: psycopg.Connection[Any]) -> int:
    """Pages that a claim of ten waiting events touches."""
    connection.execute(
        """
        SELECT count(*)
        FROM arvo_v1.dispatch_many((
            SELECT jsonb_agg(%s::jsonb || jsonb_build_object(
                'id', gen_random_uuid(), 'subject', gen_random_uuid()))
            FROM generate_series(1, 10)
        ))
        """,
        (Jsonb(document(0, to=PROBE)),),
    )
    explained = connection.execute(
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) INSERT INTO bench_probe"
        " SELECT lease, delivery FROM arvo_v1.claim(%s, 10)",
        ([PROBE],),
    ).fetchone()
    connection.execute(
        """
        SELECT count(*)
        FROM arvo_v1.settle((
            SELECT jsonb_agg(jsonb_build_object(
                'lease', lease, 'delivery', delivery, 'outcome', 'completed'))
            FROM bench_probe
        ))
        """
    )
    connection.execute("TRUNCATE bench_probe")
    assert explained is not None  # noqa: S101  EXPLAIN answers one row
    plan: dict[str, int] = explained[0][0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def together(flows: Sequence[Flow], seconds: float, bucket: float) -> None:
    """Read the meters of all of them at the end of each bucket."""
    began = time.monotonic()
    for number in range(round(seconds / bucket) + 1):
        time.sleep(max(0.0, began + number * bucket - time.monotonic()))
        for flow in flows:
            flow.sample()


def evaluate(
    sent: dict[int, float], handled: dict[int, float], samples: Sequence[Sample], failing: int
) -> tuple[Values, Series]:
    """Figures of the whole, of its beginning and end, and over time.

    Latencies are those of events that did not fail the first time.

    Args:
        sent: when each was sent.
        handled: when each was handled.
        samples: of the meters, at the borders of the buckets.
        failing: every so many-th event failed the first time; 0: none.
    """
    waits = {
        number: 1e3 * (handled[number] - at)
        for number, at in sent.items()
        if number in handled and not (failing and number % failing == 0)
    }
    series = _series(sent, handled, waits, samples)
    values = _ends(series)
    last = max(handled.values(), default=0.0)
    first = min(sent.values(), default=0.0)
    ordered = [wait for number, wait in waits.items() if is_ordered(number)]
    values |= {
        "rate": len(handled) / max(last - first, 1e-9),
        "dead": float(samples[-1].dead),
        "megabytes": samples[-1].size / 1e6,
        "missing": float(len(sent) - len(handled)),
    }
    if waits:
        values |= {
            "p50": percentile(list(waits.values()), 0.5),
            "p99": percentile(list(waits.values()), 0.99),
        }
    if failing and ordered:
        values["p99_ordered"] = percentile(ordered, 0.99)
    return values, series


def _series(
    sent: dict[int, float],
    handled: dict[int, float],
    waits: dict[int, float],
    samples: Sequence[Sample],
) -> Series:
    """Figures per bucket; an event belongs to the bucket in which it was sent, or was handled."""
    began = samples[0].at
    edges = [sample.at - began for sample in samples]
    middles = [(before + after) / 2 for before, after in itertools.pairwise(edges)]
    spans = [after - before for before, after in itertools.pairwise(edges)]
    waited: list[list[float]] = [[] for _ in middles]
    counts = [0] * len(middles)
    for place, number in _places(((at - began, number) for number, at in sent.items()), edges):
        if number in waits:
            waited[place].append(waits[number])
    for place, _ in _places(((at - began, number) for number, at in handled.items()), edges):
        counts[place] += 1
    pairs = list(itertools.pairwise(samples))

    def per_event(used: Sequence[float], scale: float) -> list[tuple[float, float]]:
        return [
            (at, scale * one / count)
            for at, one, count in zip(middles, used, counts, strict=True)
            if count
        ]

    series: Series = {
        "rate": [
            (at, count / span) for at, count, span in zip(middles, counts, spans, strict=True)
        ],
        "p50": [(at, percentile(own, 0.5)) for at, own in zip(middles, waited, strict=True) if own],
        "p99": [
            (at, percentile(own, 0.99)) for at, own in zip(middles, waited, strict=True) if own
        ],
        "cpu": per_event([after.cpu - before.cpu for before, after in pairs], 1e4),
        "buffers": per_event([after.buffers - before.buffers for before, after in pairs], 1.0),
        "dead": [(at, float(one.dead)) for at, one in zip(edges, samples, strict=True)],
        "size": [(at, one.size / 1e6) for at, one in zip(edges, samples, strict=True)],
    }
    claims = [
        (at, float(one.claim))
        for at, one in zip(edges, samples, strict=True)
        if one.claim is not None
    ]
    return series | ({"claim": claims} if claims else {})


def _places(
    given: Iterable[tuple[float, int]], edges: Sequence[float]
) -> Iterable[tuple[int, int]]:
    """The bucket of each, where it has one."""
    place = 0
    for at, number in sorted(given):
        while place + 1 < len(edges) and at >= edges[place + 1]:
            place += 1
        if edges[0] <= at < edges[-1]:
            yield place, number


def _ends(series: Series) -> Values:
    """Each figure over the first and over the last part of the time.

    Means; of claims medians, for one that has to plan again reads catalogs.
    """
    values: Values = {}
    for name in ("rate", "p50", "p99", "cpu", "buffers", "claim"):
        points = [value for _, value in series.get(name, [])]
        if not points:
            continue
        part = max(1, round(_PART * len(points)))
        middle = median if name == "claim" else fmean
        values[f"{name}_start"] = middle(points[:part])
        values[f"{name}_end"] = middle(points[-part:])
    return values
