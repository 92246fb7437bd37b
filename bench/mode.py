"""Mode: how much is measured, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

LEASE_SECONDS = 8.0
"""How long a silent worker of ours keeps its deliveries by default: a steady state is longer."""


@dataclass(frozen=True)
class Sizes:
    """What lies around in the databases of the flat scenario.

    Attributes:
        ready: so many events wait, each in a database of its own.
        deferred: so many are due later.
        busy: so many keys of an ordered queue are held, and as many events wait behind them.
        history: so many have been handled.
    """

    ready: tuple[int, ...] = ()
    deferred: tuple[int, ...] = ()
    busy: tuple[int, ...] = ()
    history: tuple[int, ...] = ()


@dataclass(frozen=True)
class Mode:
    """Sizes and durations of a run.

    Attributes:
        name: ``smoke``, ``quick`` or ``full``.
        rounds: how often each cell of drain is measured, interleaved.
        fewer_rounds: how often the others are.
        notify_rounds: how often the cost of wake-ups is.
        seconds: length of a drain.
        steady_seconds: length of the drain that outlasts a lease, when the others do not; or 0.
        short_seconds: length of what does not claim, and so cannot be blind to expired leases.
        latency_count: events of a latency measurement, at most.
        latency_seconds: seconds of it, at most.
        chains: chains of the idle measurement, at most.
        burst: chains that start at once.
        backlogs: how many events wait, for those who are compared with others.
        held_seconds: how long a snapshot is held.
        held_bucket: length of a bucket of that run, in seconds.
        held_rate: events per second that are offered to it.
        slow_seconds: how long a slow producer's transactions stay open.
        slow_count: how many of them there are.
        thorough: whether peers are measured in every case, or only where it tells most.
        crash_events: events of the run in which a worker is killed.
        crash_patience: seconds until work that does not come back counts as not recovered.
        plan_sizes: how many events wait when plans are taken.
        many: events that four processes drain; 0: not measured.
        life_events: events whose whole life is counted in bytes.
        flat: what lies around when claim and settle are measured beside an empty database.
        flat_rounds: how often each of those databases has its turn.
    """

    name: str
    rounds: int
    fewer_rounds: int
    notify_rounds: int
    seconds: float
    steady_seconds: float
    short_seconds: float
    latency_count: int
    latency_seconds: float
    chains: int
    burst: int
    backlogs: tuple[int, ...]
    held_seconds: float
    held_bucket: float
    held_rate: int
    slow_seconds: float
    slow_count: int
    thorough: bool
    crash_events: int
    crash_patience: float
    plan_sizes: tuple[int, ...]
    many: int
    life_events: int
    flat: Sizes
    flat_rounds: int


QUICK = Mode(
    name="quick",
    rounds=3,
    fewer_rounds=1,
    notify_rounds=2,
    seconds=0.7,
    steady_seconds=8.5,
    short_seconds=1.0,
    latency_count=60,
    latency_seconds=1.5,
    chains=20,
    burst=500,
    backlogs=(50_000,),
    held_seconds=40.0,
    held_bucket=2.5,
    held_rate=500,
    slow_seconds=5.0,
    slow_count=20,
    thorough=False,
    crash_events=5_000,
    crash_patience=15.0,
    plan_sizes=(0, 10_000),
    many=0,
    life_events=20_000,
    flat=Sizes(ready=(10_000, 100_000), deferred=(50_000,), busy=(10_000,), history=(100_000,)),
    flat_rounds=12,
)
FULL = Mode(
    name="full",
    rounds=5,
    fewer_rounds=3,
    notify_rounds=5,
    seconds=12.0,
    steady_seconds=0.0,
    short_seconds=5.0,
    latency_count=1_000,
    latency_seconds=30.0,
    chains=200,
    burst=500,
    backlogs=(10_000, 100_000, 1_000_000),
    held_seconds=600.0,
    held_bucket=15.0,
    held_rate=1_000,
    slow_seconds=60.0,
    slow_count=50,
    thorough=True,
    crash_events=5_000,
    crash_patience=150.0,
    plan_sizes=(0, 10_000, 1_000_000),
    many=1_000_000,
    life_events=200_000,
    flat=Sizes(
        ready=(10_000, 1_000_000, 10_000_000),
        deferred=(1_000_000,),
        busy=(100_000,),
        history=(10_000_000,),
    ),
    flat_rounds=60,
)
SMOKE = Mode(
    name="smoke",
    rounds=1,
    fewer_rounds=1,
    notify_rounds=1,
    seconds=0.3,
    steady_seconds=0.6,
    short_seconds=0.3,
    latency_count=8,
    latency_seconds=2.0,
    chains=3,
    burst=20,
    backlogs=(1_000,),
    held_seconds=4.0,
    held_bucket=1.0,
    held_rate=200,
    slow_seconds=1.0,
    slow_count=3,
    thorough=True,
    crash_events=1_000,
    crash_patience=12.0,
    plan_sizes=(0, 1_000),
    many=2_000,
    life_events=2_000,
    flat=Sizes(ready=(1_000,), deferred=(1_000,), busy=(1_000,), history=(1_000,)),
    flat_rounds=3,
)
MODES = {mode.name: mode for mode in (SMOKE, QUICK, FULL)}
