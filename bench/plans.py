"""Plans: what each call of the contract reads, with few and with many events waiting.

    python -m bench plans --sizes 0 10000 1000000

The top line of EXPLAIN (ANALYZE, BUFFERS) counts everything that happened inside the function;
``auto_explain`` tells of the statements within. A test calls :func:`measure` and :func:`excess`.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import Jsonb

from bench.document import QUEUE, document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from psycopg.errors import Diagnostic

_REPEATS = 5
_CHUNK = 5_000
_BATCH = 100
_TEXT = 70
_SHOWN = 5
_IDLE = "com.bench.idle"
SLACK_BUFFERS = 40
SLACK_SHARE = 1.5


@dataclass(frozen=True)
class Inner:
    """One statement inside of a function.

    Attributes:
        text: its beginning.
        buffers: pages that it touched.
        nodes: the kinds of its plan's nodes, as a set.
        calls: how often it ran.
    """

    text: str
    buffers: int
    nodes: list[str]
    calls: int


@dataclass(frozen=True)
class Cost:
    """One call at one size.

    Attributes:
        call: the function, with how many it was given.
        waiting: events that waited.
        buffers: pages touched, hit or read, by everything within.
        milliseconds: of execution.
        inner: its statements, the costliest first.
    """

    call: str
    waiting: int
    buffers: int
    milliseconds: float
    inner: list[Inner]


def measure(dsn: str, sizes: Iterable[int]) -> list[Cost]:
    """Fill a migrated, empty database to each size in turn, and take the cost of every call.

    Args:
        dsn: connection string of a superuser, who may load ``auto_explain``.
        sizes: how many events wait, ascending.
    """
    costs: list[Cost] = []
    heard: list[str] = []

    def hear(notice: Diagnostic) -> None:
        if (text := notice.message_primary) and text.startswith("duration:"):
            heard.append(text)

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.add_notice_handler(hear)
        _prepare(connection)
        for waiting in sizes:
            _fill(connection, waiting)
            connection.execute("VACUUM ANALYZE")
            for name, taken in _take_all(connection, heard, waiting).items():
                buffers = [int(one[0]) for one in taken]
                costs.append(
                    Cost(
                        name,
                        waiting,
                        round(median(buffers)),
                        round(median(one[1] for one in taken), 3),
                        taken[-1][2],
                    )
                )
    return costs


def excess(costs: Iterable[Cost], limits: dict[str, int] | None = None) -> list[str]:
    """Say which calls cost more than they may.

    A call may touch half as many buffers again at any size as at the smallest, and a few more; and
    no more than its limit, if it has one.

    Args:
        costs: of :func:`measure`.
        limits: buffers by name of the call, at any size.
    """
    least: dict[str, Cost] = {}
    found: list[str] = []
    for cost in costs:
        first = least.setdefault(cost.call, cost)
        allowed = first.buffers * SLACK_SHARE + SLACK_BUFFERS
        if cost.buffers > allowed:
            found.append(
                f"{cost.call}: {cost.buffers} buffers with {cost.waiting:,} waiting, "
                f"{first.buffers} with {first.waiting:,}"
            )
        limit = (limits or {}).get(cost.call)
        if limit is not None and cost.buffers > limit:
            found.append(
                f"{cost.call}: {cost.buffers} buffers with {cost.waiting:,} waiting, limit {limit}"
            )
    return found


def table(costs: Iterable[Cost | dict[str, Any]]) -> Iterator[str]:
    """A table of them, one row per call and one column per size."""
    known = [_cost(given) for given in costs]
    sizes = sorted({cost.waiting for cost in known})
    found = {(cost.call, cost.waiting): cost for cost in known}
    yield "| call | " + " | ".join(f"{size:,} waiting" for size in sizes) + " |"
    yield "|---|" + "---:|" * len(sizes)
    for call in dict.fromkeys(cost.call for cost in known):
        cells = [
            f"{cost.buffers:,} buffers, {cost.milliseconds:.2f} ms"
            if (cost := found.get((call, size)))
            else "-"
            for size in sizes
        ]
        yield f"| {call} | " + " | ".join(cells) + " |"


def inner_table(costs: Iterable[Cost | dict[str, Any]]) -> Iterator[str]:
    """The statements within each call at the largest size, the costliest first."""
    known = [_cost(given) for given in costs]
    most = max((cost.waiting for cost in known), default=0)
    yield f"| call, {most:,} waiting | statement | times | buffers | plan |"
    yield "|---|---|---:|---:|---|"
    for cost in known:
        if cost.waiting == most:
            for given in cost.inner[:_SHOWN]:
                text = given.text.replace("|", "\\|")
                nodes = ", ".join(given.nodes)
                yield f"| {cost.call} | `{text}` | {given.calls} | {given.buffers:,} | {nodes} |"


def _cost(given: Cost | dict[str, Any]) -> Cost:
    """As it was taken, or as it was recorded."""
    if isinstance(given, Cost):
        return given
    return Cost(**given | {"inner": [Inner(**one) for one in given["inner"]]})


def as_data(costs: Iterable[Cost]) -> list[dict[str, Any]]:
    """For the record."""
    return [asdict(cost) for cost in costs]


def _prepare(connection: psycopg.Connection[Any]) -> None:
    for queue in (QUEUE, _IDLE):
        connection.execute("SELECT arvo_v1.register_queue(%s)", (queue,))
    connection.execute("LOAD 'auto_explain'")
    for name, value in {
        "log_analyze": "on",
        "log_buffers": "on",
        "log_nested_statements": "on",
        "log_format": "json",
        "log_level": "notice",
        "log_timing": "off",
        "log_min_duration": "-1",
    }.items():
        connection.execute(
            "SELECT set_config(%s, %s, false)", (f"auto_explain.{name}", value), prepare=False
        )


def _fill(connection: psycopg.Connection[Any], waiting: int) -> None:
    """Dispatch until so many wait."""
    row = connection.execute(
        "SELECT queued_count FROM arvo_v1.queue_stats(%s)", (QUEUE,)
    ).fetchone()
    there = int(row[0]) if row else 0
    while there < waiting:
        count = min(_CHUNK, waiting - there)
        _dispatch(connection, range(there, there + count))
        there += count


def _dispatch(connection: psycopg.Connection[Any], numbers: Sequence[int]) -> None:
    connection.execute(
        """
        SELECT count(*)
        FROM arvo_v1.dispatch_many((
            SELECT jsonb_agg(%s::jsonb || jsonb_build_object(
                'id', 'plan-' || number, 'subject', 'plan-subject-' || number))
            FROM unnest(%s::bigint[]) AS number
        ))
        """,
        (Jsonb(document(0)), list(numbers)),
    )


_Taken = tuple[int, float, list[Inner]]


def _take_all(
    connection: psycopg.Connection[Any], heard: list[str], waiting: int
) -> dict[str, list[_Taken]]:
    """Every call several times over; as many wait afterwards as before."""
    found: dict[str, list[_Taken]] = {}
    fresh = itertools.count(1_000_000_000 * (1 + waiting))

    def take(name: str, query: str, *arguments: object, undone: bool = True) -> None:
        with connection.transaction(force_rollback=undone):
            found.setdefault(name, []).append(_take(connection, heard, query, arguments))

    for _ in range(_REPEATS):
        one, many = document(next(fresh)), [document(next(fresh)) for _ in range(_BATCH)]
        take("dispatch", "SELECT * FROM arvo_v1.dispatch(%s)", Jsonb(one))
        take(f"dispatch_many {_BATCH}", "SELECT * FROM arvo_v1.dispatch_many(%s)", Jsonb(many))
        for count in (1, _BATCH):
            _dispatch(connection, [next(fresh) for _ in range(count)])
            claim = "SELECT * FROM arvo_v1.claim(%s, %s)"
            take(f"claim {count}", claim, [QUEUE], count)
            rows = connection.execute(claim.encode(), ([QUEUE], count)).fetchall()
            results = [
                {"lease": row[0], "delivery": row[1], "outcome": "completed", "run_time": 1}
                for row in rows
            ]
            settle = "SELECT * FROM arvo_v1.settle(%s)"
            take(f"settle {count}", settle, Jsonb(results), undone=False)
        take("claim of an idle queue", "SELECT * FROM arvo_v1.claim(%s, 10)", [_IDLE])
        subject = f"plan-state-{next(fresh)}"
        take("acquire_lock", "SELECT * FROM arvo_v1.acquire_lock(%s)", subject)
        write = "SELECT arvo_v1.write_state(%s, %s, 0)"
        take("write_state", write, subject, Jsonb({"a": 1}), undone=False)
        take("read_state", "SELECT * FROM arvo_v1.read_state(%s)", subject)
        take("maintain", "SELECT * FROM arvo_v1.maintain()")
    return found


def _take(
    connection: psycopg.Connection[Any],
    heard: list[str],
    query: str,
    arguments: Sequence[object],
) -> _Taken:
    """Explain one call; the statements within tell of themselves as notices."""
    heard.clear()
    connection.execute("SET auto_explain.log_min_duration = 0")
    try:
        row = connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query}".encode(), arguments
        ).fetchone()
    finally:
        connection.execute("SET auto_explain.log_min_duration = -1")
    assert row is not None  # noqa: S101  EXPLAIN answers one row
    top = row[0][0]
    return _buffers(top["Plan"]), float(top["Execution Time"]), _inner(heard)


def _inner(heard: Sequence[str]) -> list[Inner]:
    found: dict[str, tuple[int, set[str], int]] = {}
    for text in heard:
        start = text.find("{")
        if start < 0:
            continue
        explained = json.loads(text[start:])
        plan = explained["Plan"]
        query = re.sub(r"\s+", " ", explained["Query Text"]).strip()[:_TEXT]
        buffers, nodes, calls = found.get(query, (0, set(), 0))
        found[query] = (buffers + _buffers(plan), nodes | set(_nodes(plan)), calls + 1)
    inner = [
        Inner(query, buffers, sorted(nodes), calls)
        for query, (buffers, nodes, calls) in found.items()
        if not query.startswith(("EXPLAIN", "SET"))
    ]
    return sorted(inner, key=lambda one: -one.buffers)


def _buffers(plan: dict[str, Any]) -> int:
    return int(plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0))


def _nodes(plan: dict[str, Any]) -> Iterator[str]:
    yield str(plan["Node Type"])
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
