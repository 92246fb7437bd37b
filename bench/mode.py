"""Mode: how much is measured, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

LEASE_SECONDS = 8.0
"""How long a silent worker of ours keeps its deliveries by default: a steady state is longer."""


@dataclass(frozen=True)
class Mode:
    """Sizes and durations of a run.

    Attributes:
        name: ``quick`` or ``full``.
        rounds: how often each cell of drain is measured, interleaved.
        fewer_rounds: how often the others are.
        seconds: length of a steady state.
        short_seconds: length of what does not claim, and so cannot be blind to expired leases.
        latency_count: events of a latency measurement, at most.
        latency_seconds: seconds of it, at most.
        chains: chains of the idle measurement, at most.
        burst: chains that start at once.
        backlogs: how many events wait.
        held_seconds: how long a snapshot is held.
        held_bucket: length of a bucket of that run, in seconds.
        held_rate: events per second that are offered to it.
        thorough: whether peers are measured in every case, or only where it tells most.
        crash_events: events of the run in which a worker is killed.
        crash_patience: seconds until work that does not come back counts as not recovered.
        plan_sizes: how many events wait when plans are taken.
        many: events that four processes drain; 0: not measured.
    """

    name: str
    rounds: int
    fewer_rounds: int
    seconds: float
    short_seconds: float
    latency_count: int
    latency_seconds: float
    chains: int
    burst: int
    backlogs: tuple[int, ...]
    held_seconds: float
    held_bucket: float
    held_rate: int
    thorough: bool
    crash_events: int
    crash_patience: float
    plan_sizes: tuple[int, ...]
    many: int


QUICK = Mode(
    name="quick",
    rounds=2,
    fewer_rounds=1,
    seconds=1.5,
    short_seconds=1.0,
    latency_count=60,
    latency_seconds=2.0,
    chains=20,
    burst=500,
    backlogs=(0, 100_000),
    held_seconds=60.0,
    held_bucket=5.0,
    held_rate=500,
    thorough=False,
    crash_events=5_000,
    crash_patience=15.0,
    plan_sizes=(0, 10_000),
    many=0,
)
FULL = Mode(
    name="full",
    rounds=5,
    fewer_rounds=3,
    seconds=12.0,
    short_seconds=5.0,
    latency_count=1_000,
    latency_seconds=30.0,
    chains=200,
    burst=500,
    backlogs=(0, 10_000, 100_000, 1_000_000),
    held_seconds=600.0,
    held_bucket=15.0,
    held_rate=1_000,
    thorough=True,
    crash_events=5_000,
    crash_patience=150.0,
    plan_sizes=(0, 10_000, 1_000_000),
    many=1_000_000,
)
SMOKE = Mode(
    name="smoke",
    rounds=1,
    fewer_rounds=1,
    seconds=0.3,
    short_seconds=0.3,
    latency_count=8,
    latency_seconds=2.0,
    chains=3,
    burst=20,
    backlogs=(0, 1_000),
    held_seconds=4.0,
    held_bucket=1.0,
    held_rate=200,
    thorough=True,
    crash_events=1_000,
    crash_patience=12.0,
    plan_sizes=(0, 1_000),
    many=2_000,
)
MODES = {mode.name: mode for mode in (SMOKE, QUICK, FULL)}
