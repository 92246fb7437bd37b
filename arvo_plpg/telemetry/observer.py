"""Observer: what a worker tells of its turns, to whoever wants to know."""

from __future__ import annotations

import logging
import time
from collections import Counter
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from arvo_plpg.telemetry import metrics, spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arvo_plpg.runtime.settlement import Report
    from arvo_plpg.telemetry.metrics import Sink

_LOG = logging.getLogger("arvo_plpg")
_Told = ParamSpec("_Told")


def _harmless(tell: Callable[_Told, None]) -> Callable[_Told, None]:
    """Keep what goes wrong in telling away from the work that is told of."""

    @wraps(tell)
    def told(*given: _Told.args, **named: _Told.kwargs) -> None:
        try:
            tell(*given, **named)
        except Exception:  # noqa: BLE001 - telemetry of whatever kind
            _LOG.exception("telemetry failed; the work goes on")

    return told


Tally = Counter[tuple[str, str]]
"""How many deliveries had which outcome, by queue and outcome."""


class Observer:
    """Looks once a turn whether anybody wants to know, and otherwise costs nothing.

    Args:
        client: what the worker calls itself.

    Attributes:
        tracing: whether spans are wanted.
        sinks: who wants to be told; empty, as a rule.
    """

    __slots__ = ("_client", "sinks", "tracing")

    def __init__(self, client: str) -> None:
        self._client = client
        self.tracing = False
        self.sinks: Sequence[Sink] = ()

    def look(self) -> bool:
        """See who wants to know; say whether anybody does."""
        self.tracing = spans.tracing()
        self.sinks = metrics.sinks()
        return self.tracing or bool(self.sinks)

    @_harmless
    def claimed(self, queue: str, count: int) -> None:
        """Tell of deliveries that were claimed."""
        labels = _labels("claim") | {metrics.QUEUE: queue}
        for sink in self.sinks:
            sink.add(metrics.CONSUMED, count, labels)

    @_harmless
    def exchanged(
        self, reports: Sequence[Report], began: int, error: BaseException | None = None
    ) -> None:
        """Tell of a call that settled.

        Args:
            reports: what was sent.
            began: when, in nanoseconds of the epoch.
            error: what went wrong.
        """
        deliveries = [delivery for report in reports for delivery in report.deliveries]
        if not deliveries:
            return
        ended = time.time_ns()
        name = None if error is None else type(error).__qualname__
        if self.tracing:
            spans.settle_span(deliveries, began, ended, self._client, name)
        labels = _labels("settle", name)
        for sink in self.sinks:
            sink.record(metrics.OPERATION_DURATION, (ended - began) / 1e9, labels)

    @_harmless
    def ran(self, reports: Sequence[Report]) -> None:
        """Tell how long the handlers ran whose results are settled."""
        for report in reports:
            result = report.result
            if result is None:
                times, error = report.run_times, None
            else:
                times = [result["run_time"]] if "run_time" in result else []
                failed = result.get("error")
                error = str(failed["name"]) if isinstance(failed, dict) else None
            for delivery, microseconds in zip(report.deliveries, times, strict=False):
                labels = _labels("process", error) | {metrics.QUEUE: delivery.queue}
                for sink in self.sinks:
                    sink.record(metrics.PROCESS_DURATION, microseconds / 1e6, labels)

    @_harmless
    def settled(self, tally: Tally) -> None:
        """Tell what became of results."""
        for (queue, outcome), count in tally.items():
            labels = {metrics.QUEUE: queue, metrics.OUTCOME: outcome}
            for sink in self.sinks:
                sink.add(metrics.SETTLED, count, labels)

    @_harmless
    def lost(self, queue: str) -> None:
        """Tell of a delivery whose lease was lost while its handler ran."""
        for sink in metrics.sinks():
            sink.add(metrics.LEASES_LOST, 1, {metrics.QUEUE: queue})

    @_harmless
    def reconnects(self, connection: str) -> None:
        """Tell of a connection that was lost; may be called in any thread."""
        for sink in metrics.sinks():
            sink.add(metrics.RECONNECTS, 1, {metrics.CONNECTION: connection})


def _labels(operation: str, error: str | None = None) -> dict[str, str]:
    labels = {metrics.SYSTEM: spans.SYSTEM, metrics.OPERATION: operation}
    if error is not None:
        labels[metrics.ERROR] = error
    return labels


@_harmless
def dispatched(
    outcomes: Counter[tuple[str, str]], began: int, error: BaseException | None = None
) -> None:
    """Tell of a dispatch.

    Args:
        outcomes: how many events, by queue and outcome.
        began: when it was called, in nanoseconds of the epoch.
        error: what went wrong.
    """
    told = metrics.sinks()
    if not told:
        return
    seconds = (time.time_ns() - began) / 1e9
    duration = _labels("dispatch", None if error is None else type(error).__qualname__)
    for sink in told:
        sink.record(metrics.OPERATION_DURATION, seconds, duration)
        for (queue, outcome), count in outcomes.items():
            labels = _labels("dispatch") | {metrics.QUEUE: queue, metrics.OUTCOME: outcome}
            sink.add(metrics.SENT, count, labels)
