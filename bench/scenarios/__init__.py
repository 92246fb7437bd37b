"""Scenarios: everything that is measured, in the order in which it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.scenarios.backlog import Backlog
from bench.scenarios.crash import Crash
from bench.scenarios.drain import Drain, DrainByTwo, Million, Steady
from bench.scenarios.enqueue import Enqueue
from bench.scenarios.flat import Flat
from bench.scenarios.floors import Floors
from bench.scenarios.held import Held
from bench.scenarios.latency import Burst, Chain, Latency, Workflow
from bench.scenarios.life import Life
from bench.scenarios.notify import Notify
from bench.scenarios.slow import Slow
from bench.scenarios.state import Memory, Steps

if TYPE_CHECKING:
    from bench.scenarios.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Drain(),
        DrainByTwo(),
        Steady(),
        Million(),
        Latency(),
        Chain(),
        Workflow(),
        Burst(),
        Enqueue(),
        Steps(),
        Memory(),
        Life(),
        Flat(),
        Backlog(),
        Held(),
        Slow(),
        Crash(),
        Notify(),
        Floors(),
    )
}
