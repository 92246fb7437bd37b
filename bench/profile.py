"""Profile: what one session of the server spends on each hot call, and in which function.

    python -m bench profile                        # all of them, in brief
    python -m bench profile "work 100" --functions

CPU is that of the one backend, from its schedstat: another load on the machine blurs it little.
With ``--functions`` PostgreSQL counts calls and takes the time (``track_functions``), which costs
some by itself. That is time of the clock: it needs a machine that does nothing else. Self time is
without the functions called. SQL functions that are inlined do not appear.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.document import ORDERED, QUEUE, document, following
from bench.process import thread_seconds
from bench.scenarios.flat import put, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from bench.server import Database, Server

    Connection = psycopg.Connection[Any]

_SHOWN = 20
_WARM_UP = 0.1
_FUNCTIONS = """
SELECT funcid::regproc::text, calls, total_time, self_time
FROM pg_stat_user_functions WHERE funcid::regproc::text LIKE 'arvo%'
"""


@dataclass(frozen=True)
class Spent:
    """Of one function, per event or per call.

    Attributes:
        name: of the function.
        calls: how often.
        total: microseconds within, with the functions that it called.
        own: without them.
    """

    name: str
    calls: float
    total: float
    own: float


@dataclass(frozen=True)
class Profile:
    """Of one hot call, per event; of an idle one, per call.

    Attributes:
        call: what was done.
        cpu: microseconds of the backend.
        wall: microseconds, with the client's part.
        wal: bytes of the log.
        functions: the costliest first; empty unless they were asked for.
    """

    call: str
    cpu: float
    wall: float
    wal: float
    functions: list[Spent]


def _dispatch(connection: Connection, count: int) -> None:
    events = [json.dumps(document(number)) for number in range(1_000)]
    for number in range(count):
        event = events[number % 1_000].replace('"bench-', f'"p{time.monotonic_ns()}-', 1)
        connection.execute("SELECT * FROM arvo_v1.dispatch(%s::jsonb)", (event,), prepare=True)


def _dispatch_many(batch: int) -> Callable[[Connection, int], None]:
    def run(connection: Connection, count: int) -> None:
        for _ in range(0, count, batch):
            put(connection, batch)

    return run


def _work(batch: int, queue: str = QUEUE) -> Callable[[Connection, int], None]:
    def run(connection: Connection, count: int) -> None:
        work(connection, queue, count // batch, limit=batch, lease="1 minute")

    return run


def _emit(batch: int) -> Callable[[Connection, int], None]:
    """As a chain: each result emits an event to the queue that it came from."""

    def run(connection: Connection, count: int) -> None:
        results = "[]"
        query = (
            "SELECT lease, delivery, event FROM arvo_v1.work("
            "%s::jsonb, %s, %s, 'bench', NULL, '1 minute') WHERE kind = 'claimed'"
        )
        for _ in range(count // batch):
            given = (results, [QUEUE], batch)
            rows = connection.execute(query, given, prepare=True).fetchall()
            results = json.dumps(
                [
                    {
                        "lease": lease,
                        "delivery": delivery,
                        "outcome": "completed",
                        "run_time": 12,
                        "events": [following(event) | {"id": f"{lease}-{delivery}"}],
                    }
                    for lease, delivery, event in rows
                ]
            )
        settle = "SELECT count(*) FROM arvo_v1.settle(%s::jsonb)"
        connection.execute(settle, (results,), prepare=True)

    return run


def _idle(connection: Connection, count: int) -> None:
    for _ in range(count):
        query = "SELECT * FROM arvo_v1.work('[]', %s, 10, 'bench', NULL, '8 seconds')"
        connection.execute(query, ([QUEUE],), prepare=True)


def _state(connection: Connection, count: int) -> None:
    """Lock, read, write, unlock."""
    for number in range(count):
        subject = f"bench-{number % 100}"
        row = connection.execute(
            "SELECT token FROM arvo_v1.acquire_lock(%s)", (subject,), prepare=True
        ).fetchone()
        assert row is not None  # noqa: S101  nobody else is here
        known = connection.execute(
            "SELECT version FROM arvo_v1.read_state(%s)", (subject,), prepare=True
        ).fetchone()
        write = "SELECT arvo_v1.write_state(%s, '{}', %s)"
        connection.execute(write, (subject, known[0] if known else 0), prepare=True)
        release = "SELECT arvo_v1.release_lock(%s, %s)"
        connection.execute(release, (subject, row[0]), prepare=True)


@dataclass(frozen=True)
class _Call:
    """What runs, how often by default, and the queue that is filled before."""

    run: Callable[[Connection, int], None]
    count: int
    fill: str = ""


CALLS: dict[str, _Call] = {
    "dispatch": _Call(_dispatch, 2_000),
    "dispatch_many 100": _Call(_dispatch_many(100), 20_000),
    "dispatch_many 1000": _Call(_dispatch_many(1_000), 20_000),
    "work 1": _Call(_work(1), 1_000, QUEUE),
    "work 10": _Call(_work(10), 5_000, QUEUE),
    "work 100": _Call(_work(100), 20_000, QUEUE),
    "work 500": _Call(_work(500), 20_000, QUEUE),
    "work 100, ordered": _Call(_work(100, ORDERED), 5_000, ORDERED),
    "work 10, emitting": _Call(_emit(10), 2_000, QUEUE),
    "work 100, emitting": _Call(_emit(100), 10_000, QUEUE),
    "work 500, emitting": _Call(_emit(500), 10_000, QUEUE),
    "work, idle": _Call(_idle, 1_000),
    "memory cycle": _Call(_state, 1_000),
}


def profile(
    server: Server, calls: list[str], *, functions: bool, scale: float
) -> Iterator[Profile]:
    """Measure each on a database of its own.

    Args:
        server: to make them on.
        calls: of ``CALLS``.
        functions: whether the time within each function is taken.
        scale: of the number of events.
    """
    from arvo_plpg.schema import migrate  # noqa: PLC0415 - costly, and not for drawing

    def furnish(database: Database) -> None:
        migrate(database.dsn)
        with database.connect() as connection:
            connection.execute("SELECT arvo_v1.register_queue(%s)", (QUEUE,))
            connection.execute(
                "SELECT arvo_v1.register_queue(%s, p_policy => 'ordered')", (ORDERED,)
            )

    template = server.template(furnish)
    for name in calls:
        call = CALLS[name]
        count = max(1_000, round(call.count * scale / 1_000) * 1_000)
        with server.database(template) as database, database.connect() as connection:
            before = round(count * _WARM_UP / 500 + 0.5) * 500
            if call.fill:
                put(connection, count + before, to=call.fill)
            call.run(connection, before)
            yield _measure(connection, name, count, call.run, functions=functions)


def _measure(
    connection: Connection,
    name: str,
    count: int,
    run: Callable[[Connection, int], None],
    *,
    functions: bool,
) -> Profile:
    if functions:
        connection.execute("SET track_functions = 'all'")
    known = _functions(connection) if functions else {}
    pid = connection.info.backend_pid
    log, cpu, began = _log(connection), thread_seconds(pid), time.perf_counter()
    run(connection, count)
    wall, cpu = time.perf_counter() - began, thread_seconds(pid) - cpu
    log = _log(connection) - log
    found = _functions(connection) if functions else {}
    spent = [
        Spent(
            function,
            (calls - known.get(function, (0, 0, 0))[0]) / count,
            1e3 * (total - known.get(function, (0, 0, 0))[1]) / count,
            1e3 * (own - known.get(function, (0, 0, 0))[2]) / count,
        )
        for function, (calls, total, own) in found.items()
    ]
    spent = sorted((one for one in spent if one.calls), key=lambda one: -one.own)
    return Profile(name, 1e6 * cpu / count, 1e6 * wall / count, log / count, spent)


def _functions(connection: Connection) -> dict[str, tuple[int, float, float]]:
    connection.execute("SELECT pg_stat_force_next_flush()")
    return {
        name: (calls, total, own)
        for name, calls, total, own in connection.execute(_FUNCTIONS).fetchall()
    }


def _log(connection: Connection) -> int:
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None  # noqa: S101  an expression
    return int(row[0])


def table(profiles: list[Profile]) -> Iterator[str]:
    """Of the calls, and of the functions within, if they were taken."""
    yield "| call | server CPU us | wall us | WAL bytes |"
    yield "|---|---:|---:|---:|"
    for one in profiles:
        yield f"| {one.call} | {one.cpu:,.1f} | {one.wall:,.1f} | {one.wal:,.0f} |"
    for one in profiles:
        if one.functions:
            yield ""
            yield f"| {one.call}: function | calls | total us | self us |"
            yield "|---|---:|---:|---:|"
            for spent in one.functions[:_SHOWN]:
                figures = f"{spent.calls:,.3f} | {spent.total:,.2f} | {spent.own:,.2f}"
                yield f"| {spent.name} | {figures} |"
