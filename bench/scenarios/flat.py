"""Flat: claim and settle beside an empty database, with ever more lying around. Ours only."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from bench.document import ORDERED, QUEUE, document
from bench.process import thread_seconds
from bench.scenarios.scenario import Cell, Column, Context, Scenario, Series, Values

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from bench.mode import Mode, Sizes

_BATCH = 100
_CALLS = 10
_CHUNK = 5_000
_WARM_UP = 2
_HELD = "5 minutes"
_EXTEND_SECONDS = 60.0
_LEASE = "2 seconds"  # short, so that the search for expired leases is part of it
EMPTY = "empty"
Furnish = Callable[["psycopg.Connection[Any]"], Sequence[int]]
"""Fills a database, and gives the leases that are to be held there."""


class Flat(Scenario):
    """The same calls on a database that holds nothing else, and on others that do."""

    name = "flat"
    title = "Flat: claim and settle with much lying around (ours)"
    says = (
        f"`arvo_v1.work` with {_BATCH} at a time on one connection, {_CALLS} calls in turn on each "
        "database: an empty one, and others in which so many events wait in the same lane, are "
        "deferred, or have been handled. `ordered`: the same on an ordered queue, empty, and with "
        "so many keys held by leases and an event waiting behind each. Ratios are medians over "
        "the rounds of empty / this one: 1 is flat. Leases are of two seconds, the run is longer."
    )
    columns = (
        Column("ratio", "rate / empty", 3),
        Column("cpu_ratio", "server CPU, empty / this", 3),
        Column("rate", "events/s"),
        Column("server_cpu", "server CPU s/10 k", 3),
    )
    chart = "ratio"
    one_chart = True

    def cells(self, context: Context) -> list[Cell]:
        """All databases are one cell: they are measured in turn."""
        return [Cell("arvo", "default")] if "arvo" in context.environments else []

    def rounds(self, mode: Mode) -> int:  # noqa: ARG002 - it has rounds of its own
        """One."""
        return 1

    def measure(self, context: Context, cell: Cell) -> Iterator[tuple[Cell, Values, Series]]:
        """Fill them, then let them take turns."""
        with contextlib.ExitStack() as stack:
            places = []
            for case, queue, furnish in cases(context.mode.flat):
                database = stack.enter_context(context.server.database(context.template(cell)))
                connection = stack.enter_context(database.connect())
                places.append(_Place(case, queue, connection, furnish))
            held = [place for place in places if place.queue == ORDERED]
            for part in ([place for place in places if place not in held], held):
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(_Place.fill, part))
            for turn in range(_WARM_UP + context.mode.flat_rounds):
                first = turn % len(places)
                for place in places[first:] + places[:first]:
                    place.take_turn(keep=turn >= _WARM_UP)
        empty = {place.queue: place for place in places if place.case.endswith(EMPTY)}
        for place in places:
            values = place.values(empty[place.queue])
            yield Cell(cell.peer, cell.configuration, place.case), values, {}


def cases(sizes: Sizes) -> Iterator[tuple[str, str, Furnish]]:
    """Each database: what it is called, the queue that is measured, and what fills it."""
    yield EMPTY, QUEUE, partial(put, count=0)
    for count in sizes.ready:
        yield f"{count:,} ready", QUEUE, partial(put, count=count)
    for count in sizes.deferred:
        yield f"{count:,} deferred", QUEUE, partial(put, count=count, after="30 days")
    for count in sizes.history:
        yield f"{count:,} in history", QUEUE, partial(_handle, count=count)
    if sizes.busy:
        yield f"ordered, {EMPTY}", ORDERED, partial(put, count=0)
    for count in sizes.busy:
        yield f"ordered, {count:,} busy keys", ORDERED, partial(_hold, count=count)


@dataclass
class _Place:
    """One database.

    Attributes:
        case: what lies around in it.
        queue: which is measured.
        connection: to it.
        furnish: fills it.
        leases: which are held in it.
        extended: when they were last.
        wall: seconds of each turn.
        cpu: of its backend.
    """

    case: str
    queue: str
    connection: psycopg.Connection[Any]
    furnish: Furnish
    leases: list[int] = field(default_factory=list)
    extended: float = 0.0
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def fill(self) -> None:
        self.leases = list(self.furnish(self.connection))
        self.extended = time.monotonic()
        self.connection.execute("VACUUM ANALYZE")

    def take_turn(self, *, keep: bool) -> None:
        """Some events come, and as many are handled."""
        if self.leases and time.monotonic() - self.extended > _EXTEND_SECONDS:
            extend = "SELECT count(*) FROM arvo_v1.extend(%s, %s)"
            self.connection.execute(extend, (self.leases, _HELD))
            self.extended = time.monotonic()
        put(self.connection, _BATCH * _CALLS, to=self.queue)
        pid = self.connection.info.backend_pid
        used, began = thread_seconds(pid), time.perf_counter()
        handled = work(self.connection, self.queue, _CALLS)
        wall, used = time.perf_counter() - began, thread_seconds(pid) - used
        assert handled == _BATCH * _CALLS, f"{self.case}: {handled}"  # noqa: S101
        if keep:
            self.wall.append(wall)
            self.cpu.append(used)

    def values(self, empty: _Place) -> Values:
        """Beside the empty one, turn by turn."""
        count = _BATCH * _CALLS
        return {
            "ratio": median(a / b for a, b in zip(empty.wall, self.wall, strict=True)),
            "cpu_ratio": median(a / b for a, b in zip(empty.cpu, self.cpu, strict=True)),
            "rate": count / median(self.wall),
            "server_cpu": 1e4 * median(self.cpu) / count,
        }


def put(
    connection: psycopg.Connection[Any],
    count: int,
    *,
    to: str = QUEUE,
    after: str | None = None,
    subject: str = "",
) -> Sequence[int]:
    """Dispatch so many, each with a subject of its own; no lease is held.

    Args:
        connection: to ours.
        count: of events.
        to: the queue.
        after: when they are due.
        subject: what their subjects begin with, a number follows; otherwise they are random.
    """
    for first in range(0, count, _CHUNK):
        connection.execute(
            """
            SELECT count(*)
            FROM arvo_v1.dispatch_many((
                SELECT jsonb_agg(%(event)s::jsonb || jsonb_build_object(
                    'id', gen_random_uuid(),
                    'subject', CASE
                        WHEN %(subject)s = '' THEN gen_random_uuid()::text
                        ELSE %(subject)s || number
                    END))
                FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
            ), %(after)s::interval)
            """,
            {
                "event": Jsonb(document(0, to=to)),
                "subject": subject,
                "first": first,
                "last": min(first + _CHUNK, count) - 1,
                "after": after,
            },
        )
    return ()


def work(
    connection: psycopg.Connection[Any],
    queue: str,
    calls: int | None = None,
    *,
    limit: int = _BATCH,
    lease: str = _LEASE,
) -> int:
    """Claim and settle, so many times or until nothing is left; how many were handled."""
    handled = turn = 0
    results = "[]"
    while calls is None or turn < calls:
        rows = connection.execute(
            "SELECT lease, delivery FROM arvo_v1.work(%s::jsonb, %s, %s, 'bench', NULL, %s)"
            " WHERE kind = 'claimed'",
            (results, [queue], limit, lease),
            prepare=True,
        ).fetchall()
        results = completed(rows)
        handled += len(rows)
        turn += 1
        if not rows:
            return handled
    connection.execute("SELECT count(*) FROM arvo_v1.settle(%s::jsonb)", (results,), prepare=True)
    return handled


def completed(rows: list[tuple[int, int]]) -> str:
    """Results that say that all of this was done."""
    return json.dumps(
        [
            {"lease": lease, "delivery": delivery, "outcome": "completed", "run_time": 12}
            for lease, delivery in rows
        ]
    )


def _handle(connection: psycopg.Connection[Any], count: int) -> Sequence[int]:
    """So many have been handled; no lease is held.

    By leases as short as those that are measured: of longer ones the last thousands would have
    expired only when it is measured, and looking through them would count as the cost of history.
    """
    put(connection, count)
    work(connection, QUEUE, limit=500, lease=_LEASE)
    return ()


def _hold(connection: psycopg.Connection[Any], count: int) -> list[int]:
    """So many keys are leased, and an event waits behind each; the leases."""
    claim = "SELECT DISTINCT lease FROM arvo_v1.claim(%s, 1000, 'bench', NULL, %s)"
    leases: list[int] = []
    for _ in range(2):
        put(connection, count, to=ORDERED, subject="busy-")
        for _ in range(count // 500 + 2):  # one that meets busy keys may give none, and go on
            rows = connection.execute(claim, ([ORDERED], _HELD)).fetchall()
            leases += [lease for (lease,) in rows]
    return leases
