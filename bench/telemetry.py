"""Overhead of telemetry: ``python -m bench.telemetry [--events 4000] [--rounds 5] [--json]``.

What a worker costs in processor time of its process for each event, with a handler that does
nothing: without an SDK, with a Prometheus endpoint that counts, with OpenTelemetry's SDK that
samples nothing, and with one that gathers every span and metric and exports them (into memory: the
way to a collector is somebody else's). Rounds are interleaved; shown are medians, and the ratio to
the first. The database is an embedded one of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

import arvo_plpg as arvo
from arvo_plpg import embedded, schema, telemetry
from arvo_plpg.telemetry import metrics as ours
from bench.document import QUEUE, document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

NOTHING: Final = "no SDK"


class _Idle:
    """Does nothing, and says when it has done that often enough."""

    source = QUEUE

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.done = asyncio.Event()

    async def execute(self, event: arvo.ArvoEvent) -> list[arvo.ArvoEvent]:
        self._left -= bool(event)
        if not self._left:
            self.done.set()
        return []


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _prometheus() -> Iterator[None]:
    exposition = telemetry.exposition()
    try:
        yield
    finally:
        exposition.render()
        exposition.close()


@contextmanager
def _sdk(*, exporting: bool) -> Iterator[None]:
    """Put providers in place for a while; the API itself lets them be set only once."""
    tracing = TracerProvider(sampler=ALWAYS_ON if exporting else ALWAYS_OFF)
    metering = MeterProvider([InMemoryMetricReader()] if exporting else [])
    if exporting:
        tracing.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    tracer = tracing.get_tracer("arvo_plpg")
    with (
        mock.patch.object(trace, "get_tracer_provider", return_value=tracing),
        mock.patch.object(metrics, "get_meter_provider", return_value=metering),
        mock.patch.object(metrics, "get_meter", metering.get_meter),
        mock.patch.object(ours, "_OPEN_TELEMETRY", []),
        mock.patch("arvo_plpg.telemetry.spans._TRACER", tracer),
    ):
        try:
            yield
        finally:
            tracing.shutdown()
            metering.shutdown()


WAYS: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    NOTHING: _nothing,
    "Prometheus endpoint": _prometheus,
    "SDK, nothing sampled": lambda: _sdk(exporting=False),
    "SDK, all exported": lambda: _sdk(exporting=True),
}
"""What is compared."""


async def _drain(dsn: str, first: int, events: int) -> float:
    """Dispatch, work off; give the processor time for each event of working it off."""
    handler = _Idle(events)
    options = arvo.HandlerOptions(worker=arvo.WorkerOptions(concurrency=10))
    broker = arvo.PostgresEventBroker(dsn)
    made = [arvo.ArvoEvent.from_dict(document(number)) for number in range(first, first + events)]
    async with broker:
        await broker.dispatch_copy(made)
        before = time.process_time()
        await broker.register(handler, options)
        await handler.done.wait()
    return (time.process_time() - before) / events


def measure(events: int, rounds: int) -> dict[str, float]:
    """Measure every way; microseconds of processor time for each event, medians of the rounds."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    firsts = itertools.count(0, events)  # no event twice, or it is a duplicate
    with embedded.start() as server:
        schema.migrate(server.uri)
        for number in range(rounds + 1):
            for name, way in WAYS.items():
                with way():
                    cost = asyncio.run(_drain(server.uri, next(firsts), events))
                if number:  # the first warms up
                    found[name].append(cost * 1e6)
    return {name: statistics.median(costs) for name, costs in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench.telemetry", description=__doc__)
    parser.add_argument("--events", type=int, default=4000, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options: Any = parser.parse_args(arguments)
    found = measure(options.events, options.rounds)
    if options.json:
        print(json.dumps({"microseconds": found}, indent=2))
        return 0
    width = max(map(len, found))
    for name, microseconds in found.items():
        ratio = microseconds / found[NOTHING]
        print(f"{name:<{width}}  {microseconds:8.1f} us/event  x {ratio:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
