"""Targets: what was promised for the package's defaults, and what a record says about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.peers import PEERS
from bench.record import Spread
from bench.scenarios.enqueue import COPY
from bench.scenarios.flat import EMPTY
from bench.scenarios.held import CLEAN, SNAPSHOT, WRITER
from bench.scenarios.notify import ALONE, AWAKE, ELSEWHERE, HERE
from bench.scenarios.slow import CLEAN as PROMPT
from bench.scenarios.slow import SLOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.record import Recording

_OURS = ("arvo", "default")
_NOT_RIVALS = {"arvo", "raw", "floor"}
_SEED_CYCLES = {1: 504, 10: 1407}
_CONSTANT = 1.1  # buffers: a page more or less of an index is no growth


@dataclass(frozen=True)
class Found:
    """A figure, and what it is of where that does not go without saying."""

    value: float
    of: str = ""


Finder = Callable[["Recording"], Found | None]
"""Looks up a figure; None when it was not measured."""


def nothing(_: Recording) -> None:
    """There is no such figure."""


@dataclass(frozen=True)
class Target:
    """One promise.

    Attributes:
        number: of the list that it is from; 0: said beside it.
        what: is measured.
        wanted: the figure.
        unit: of it.
        ours: finds it in a record.
        rival: finds the best peer's.
        floor: finds what two bare statements, or pgbench, reach beside it.
        at_most: whether less is better.
        digits: that are shown.
    """

    number: int
    what: str
    wanted: float
    unit: str
    ours: Finder
    rival: Finder = nothing
    floor: Finder = nothing
    at_most: bool = False
    digits: int = 0

    def met(self, found: Found) -> bool:
        """Whether that is good enough."""
        return found.value <= self.wanted if self.at_most else found.value >= self.wanted


def table(recording: Recording) -> Iterator[str]:
    """One row per target: wanted, measured, beside the best peer and the floor, and whether met."""
    yield "| | target | wanted | measured | best peer | ours / peer | floor | ours / floor | met? |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---|"
    for target in TARGETS:
        ours, rival, floor = (find(recording) for find in (target.ours, target.rival, target.floor))
        sign = "≤" if target.at_most else "≥"
        wanted = f"{sign} {target.wanted:,.{target.digits}f} {target.unit}".strip()
        row = [
            str(target.number or ""),
            target.what,
            wanted,
            _shown(ours, target),
            _shown(rival, target),
        ]
        row += [_beside(ours, rival), _shown(floor, target), _beside(ours, floor)]
        row.append("not measured" if ours is None else "yes" if target.met(ours) else "**no**")
        yield "| " + " | ".join(row) + " |"


def _beside(ours: Found | None, other: Found | None) -> str:
    return f"{ours.value / other.value:.2f}" if ours and other and other.value else "-"


def _shown(found: Found | None, target: Target) -> str:
    if found is None:
        return "-"
    return f"{found.value:,.{target.digits}f}" + (f" ({found.of})" if found.of else "")


def _of(peer: str, scenario: str, column: str, case: str, configuration: str) -> Finder:
    """The median of one cell."""

    def find(recording: Recording) -> Found | None:
        for known, rounds in recording.cells(scenario):
            if known == (peer, configuration, case):
                spread = Spread.of(rounds, column)
                return Found(spread.middle) if spread else None
        return None

    return find


def _ours(scenario: str, column: str, case: str = "", configuration: str = "default") -> Finder:
    return _of("arvo", scenario, column, case, configuration)


def _raw(scenario: str, column: str, case: str = "", configuration: str = "fast") -> Finder:
    """Our floor: a table, SKIP LOCKED, and nothing of what makes a queue."""
    return _of("raw", scenario, column, case, configuration)


def _bare(case: str, scenario: str = "floors") -> Finder:
    """What pgbench, or COPY, does with one table."""
    return _of("floor", scenario, "rate", case, "pgbench")


def _rival(
    scenario: str, *columns: str, case: str = "", lowest: bool = False, batch: bool = False
) -> Finder:
    """The best of the peers, in any configuration; a figure may be the sum of columns."""

    def find(recording: Recording) -> Found | None:
        found: list[Found] = []
        for (peer, configuration, known), rounds in recording.cells(scenario):
            if peer in _NOT_RIVALS or known != case:
                continue
            if PEERS[peer].configuration(configuration).batch != batch:
                continue
            spreads = [Spread.of(rounds, column) for column in columns]
            total = sum(spread.middle for spread in spreads if spread)
            if all(spreads):
                found.append(Found(total, f"{peer} {configuration}"))
        if not found:
            return None
        return (min if lowest else max)(found, key=lambda one: one.value)

    return find


def _ratio(upper: Finder, lower: Finder) -> Finder:
    def find(recording: Recording) -> Found | None:
        above, below = upper(recording), lower(recording)
        if above is None or below is None or not below.value:
            return None
        return Found(above.value / below.value, below.of)

    return find


def _worst(finders: dict[str, Finder], *, highest: bool = False) -> Finder:
    """The worst of several; None when one is missing."""

    def find(recording: Recording) -> Found | None:
        found: list[Found] = []
        for name, finder in finders.items():
            one = finder(recording)
            if one is None:
                return None
            found.append(Found(one.value, name))
        return (max if highest else min)(found, key=lambda one: one.value)

    return find


def _flat(recording: Recording, marks: tuple[str, ...]) -> Found | None:
    """The lowest ratio to an empty database of those cases."""
    found = [
        Found(spread.middle, case)
        for (_, _, case), rounds in recording.cells("flat")
        if any(case.endswith(mark) for mark in marks) and not case.endswith(EMPTY)
        if (spread := Spread.of(rounds, "ratio"))
    ]
    return min(found, key=lambda one: one.value) if found else None


def _life_of_peer(recording: Recording) -> Found | None:
    """WAL of enqueuing in batches and of draining, beyond the event itself."""
    payload = _ours("life", "payload")(recording)
    if payload is None:
        return None
    enqueued: dict[str, float] = {}
    for (peer, _, case), rounds in recording.cells("enqueue"):
        if case == "batches of 1000" and (spread := Spread.of(rounds, "wal")):
            enqueued[peer] = spread.middle
    found = [
        Found(enqueued[peer] + spread.middle - payload.value, f"{peer} {configuration}")
        for (peer, configuration, _), rounds in recording.cells("drain")
        if peer not in _NOT_RIVALS and peer in enqueued
        if (spread := Spread.of(rounds, "wal"))
    ]
    return min(found, key=lambda one: one.value) if found else None


def _sum(*finders: Finder) -> Finder:
    def find(recording: Recording) -> Found | None:
        found = [finder(recording) for finder in finders]
        total = sum(one.value for one in found if one)
        return Found(total) if all(found) else None

    return find


def _held(way: str, column: str) -> Finder:
    return _ratio(_ours("held", column, way), _ours("held", column, CLEAN))


def _woken(case: str) -> Finder:
    return _ratio(_ours("notify", "rate", case), _ours("notify", "rate", ALONE))


def _grown(way: str) -> Finder:
    return _ratio(_ours("held", "claim_end", way), _ours("held", "claim_end", CLEAN))


_DRAIN_CPU = _sum(_ours("drain", "client_cpu"), _ours("drain", "server_cpu"))
_ENQUEUE = "batches of 1000"
_ENQUEUE_CPU = _sum(
    _ours("enqueue", "client_cpu", _ENQUEUE), _ours("enqueue", "server_cpu", _ENQUEUE)
)

TARGETS: tuple[Target, ...] = (
    Target(
        1,
        "drain, one process, concurrency 10",
        30_000,
        "events/s",
        _ours("drain", "rate"),
        _rival("drain", "rate"),
        floor=_raw("drain", "rate"),
    ),
    Target(
        1,
        "the same beside the fastest peer as it is tuned",
        1.2,
        "times",
        _ratio(_ours("drain", "rate"), _rival("drain", "rate")),
        digits=2,
    ),
    Target(
        1,
        "two processes beside one",
        1.5,
        "times",
        _ratio(_ours("drain2", "rate"), _ours("drain", "rate")),
        floor=_ratio(_raw("drain2", "rate"), _raw("drain", "rate")),
        digits=2,
    ),
    Target(
        1,
        "drain with a handler of lists",
        100_000,
        "events/s",
        _ours("drain", "rate", configuration="batch"),
        _rival("drain", "rate", batch=True),
        floor=_raw("drain", "rate", configuration="batch"),
    ),
    Target(
        2,
        "idle, dispatch until the handler starts, p50",
        2.5,
        "ms",
        _ours("latency", "p50"),
        _rival("latency", "p50", lowest=True),
        floor=_raw("latency", "p50"),
        at_most=True,
        digits=1,
    ),
    Target(
        2,
        "the same, p99",
        8.0,
        "ms",
        _ours("latency", "p99"),
        _rival("latency", "p99", lowest=True),
        floor=_raw("latency", "p99"),
        at_most=True,
        digits=1,
    ),
    Target(
        2,
        "idle, a chain of 4 hops, p50",
        9.0,
        "ms",
        _ours("chain", "p50"),
        _rival("chain", "p50", lowest=True),
        floor=_raw("chain", "p50"),
        at_most=True,
        digits=1,
    ),
    Target(
        2,
        "500 chains at once, started one per call",
        1_500,
        "chains/s",
        _ours("burst", "rate", "one per call"),
        _rival("burst", "rate", case="one per call"),
        floor=_raw("burst", "rate", "one per call"),
    ),
    Target(
        2,
        "500 chains at once, started in a batch",
        3_000,
        "chains/s",
        _ours("burst", "rate", "in a batch"),
        _rival("burst", "rate", case="in a batch"),
        floor=_raw("burst", "rate", "in a batch"),
    ),
    Target(
        3,
        "stateful steps",
        4_000,
        "steps/s",
        _ours("steps", "rate"),
        floor=_bare("stateful step, 10 clients"),
    ),
    Target(
        3,
        "idle, a workflow of 6 stateful steps, p50",
        20.0,
        "ms",
        _ours("workflow", "p50"),
        at_most=True,
        digits=1,
    ),
    *(
        Target(
            3,
            f"memory cycles, {lanes} connections: 4 times the seed's {seed:,}",
            4.0 * seed,
            "cycles/s",
            _ours("memory", "rate", f"{lanes} connections"),
            floor=_raw("memory", "rate", f"{lanes} connections", "default"),
        )
        for lanes, seed in _SEED_CYCLES.items()
    ),
    Target(
        4,
        "dispatch one per call, 1 connection",
        3_000,
        "events/s",
        _ours("enqueue", "rate", "one per call, 1 connection"),
        _rival("enqueue", "rate", case="one per call, 1 connection"),
        floor=_raw("enqueue", "rate", "one per call, 1 connection"),
    ),
    Target(
        4,
        "dispatch one per call, 10 connections",
        8_000,
        "events/s",
        _ours("enqueue", "rate", "one per call, 10 connections"),
        _rival("enqueue", "rate", case="one per call, 10 connections"),
        floor=_raw("enqueue", "rate", "one per call, 10 connections"),
    ),
    Target(
        4,
        "dispatch_many of 1000",
        40_000,
        "events/s",
        _ours("enqueue", "rate", _ENQUEUE),
        _rival("enqueue", "rate", case=_ENQUEUE),
        floor=_raw("enqueue", "rate", _ENQUEUE),
    ),
    Target(
        4,
        "dispatch_copy",
        60_000,
        "events/s",
        _ours("enqueue", "rate", COPY),
        _rival("enqueue", "rate", case=_ENQUEUE),
        floor=_bare("COPY of 1000"),
    ),
    *(
        Target(
            4,
            f"16 producers, workers {case}, beside nobody",
            0.9,
            "times",
            _woken(case),
            floor=_ratio(_bare("insert and notify", "notify"), _bare("insert", "notify")),
            digits=2,
        )
        for case in (ELSEWHERE, HERE, AWAKE)
    ),
    Target(
        5,
        "claim + settle with much that waits, is deferred or is history, beside empty: the worst",
        0.95,
        "times",
        lambda recording: _flat(recording, ("ready", "deferred", "in history")),
        digits=2,
    ),
    Target(
        5,
        "claim + settle with busy keys, beside an empty ordered queue",
        0.95,
        "times",
        lambda recording: _flat(recording, ("busy keys",)),
        digits=2,
    ),
    *(
        target
        for way, said in ((SNAPSHOT, "a held snapshot"), (WRITER, "an idle writing transaction"))
        for target in (
            Target(
                5, f"rate under {said}, beside clean", 0.95, "times", _held(way, "rate"), digits=2
            ),
            Target(
                5,
                f"p99 under {said}, beside clean",
                2.0,
                "times",
                _held(way, "p99"),
                at_most=True,
                digits=2,
            ),
            Target(
                5,
                f"buffers per claim under {said} at the end, beside clean",
                _CONSTANT,
                "times",
                _grown(way),
                at_most=True,
                digits=2,
            ),
        )
    ),
    Target(
        5,
        "producers that commit late: events lost",
        0,
        "",
        _ours("slow", "missing", SLOW),
        at_most=True,
    ),
    Target(
        5,
        "producers that commit late: rate of the others, beside clean",
        0.95,
        "times",
        _ratio(_ours("slow", "rate", SLOW), _ours("slow", "rate", PROMPT)),
        digits=2,
    ),
    Target(
        5,
        "from a late commit until the handler, the longest",
        50.0,
        "ms",
        _ours("slow", "commit_most", SLOW),
        at_most=True,
        digits=1,
    ),
    Target(
        6,
        "WAL beyond the event itself, whole life, 100 at a time",
        300,
        "bytes",
        _ours("life", "beyond"),
        _life_of_peer,
        at_most=True,
    ),
    Target(
        6,
        "server CPU of draining, beside the best peer's",
        1.0,
        "times",
        _ratio(_ours("drain", "server_cpu"), _rival("drain", "server_cpu", lowest=True)),
        at_most=True,
        digits=2,
    ),
    Target(
        6,
        "client CPU of draining, beside the best peer's",
        1.0,
        "times",
        _ratio(_ours("drain", "client_cpu"), _rival("drain", "client_cpu", lowest=True)),
        at_most=True,
        digits=2,
    ),
    Target(
        6,
        "server and client CPU of draining, beside the best peer's",
        1.0,
        "times",
        _ratio(_DRAIN_CPU, _rival("drain", "client_cpu", "server_cpu", lowest=True)),
        at_most=True,
        digits=2,
    ),
    Target(
        6,
        "server and client CPU of enqueuing in batches, beside the best peer's",
        1.0,
        "times",
        _ratio(
            _ENQUEUE_CPU,
            _rival("enqueue", "client_cpu", "server_cpu", case=_ENQUEUE, lowest=True),
        ),
        at_most=True,
        digits=2,
    ),
    Target(
        7,
        "a million events, four processes: run twice",
        0,
        "",
        _ours("million", "twice"),
        at_most=True,
    ),
    Target(
        7,
        "a million events, four processes: memory of the largest",
        120,
        "MB",
        _ours("million", "peak"),
        at_most=True,
    ),
    Target(
        0,
        "idle CPU of a worker, of one core",
        0.5,
        "%",
        _ours("latency", "idle_client"),
        at_most=True,
        digits=2,
    ),
)
