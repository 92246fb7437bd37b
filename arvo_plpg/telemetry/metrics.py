"""Metrics: what is counted and measured, under which names, and who is told.

The names are those of OpenTelemetry's messaging conventions where these have one, and ``arvo.…``
otherwise. Their names for Prometheus are made by OpenTelemetry's own rules, so a dashboard fits
whichever way they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from opentelemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.metrics import Counter, Histogram

    Labels = Mapping[str, str]

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bounds of durations, as the conventions have them."""

_SUFFIXES: Final = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: in OpenTelemetry.
        kind: counter, histogram or gauge.
        unit: in UCUM, as OpenTelemetry wants it.
        labels: attributes of its points.
        about: what it tells.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    labels: tuple[str, ...]
    about: str

    @property
    def prometheus(self) -> str:
        """Its name in Prometheus; a histogram's series add ``_bucket``, ``_sum``, ``_count``."""
        plain = self.name.replace(".", "_") + _SUFFIXES.get(self.unit, "")
        return f"{plain}_total" if self.kind == "counter" else plain


SYSTEM: Final = "messaging.system"
OPERATION: Final = "messaging.operation.name"
QUEUE: Final = "messaging.destination.name"
OUTCOME: Final = "arvo.outcome"
ERROR: Final = "error.type"
CONNECTION: Final = "arvo.connection"
STATE: Final = "arvo.state"
PRIORITY: Final = "arvo.priority"

_MESSAGES = "{message}"

SENT: Final = Metric(
    "messaging.client.sent.messages",
    "counter",
    _MESSAGES,
    (SYSTEM, OPERATION, QUEUE, OUTCOME),
    "Events dispatched, by what became of them, as dispatch() says; of dispatch_copy() without a "
    "queue.",
)
CONSUMED: Final = Metric(
    "messaging.client.consumed.messages",
    "counter",
    _MESSAGES,
    (SYSTEM, OPERATION, QUEUE),
    "Deliveries claimed.",
)
OPERATION_DURATION: Final = Metric(
    "messaging.client.operation.duration",
    "histogram",
    "s",
    (SYSTEM, OPERATION, ERROR),
    "How long a call took that dispatched or settled; one that settles may claim as well.",
)
PROCESS_DURATION: Final = Metric(
    "messaging.process.duration",
    "histogram",
    "s",
    (SYSTEM, OPERATION, QUEUE, ERROR),
    "How long handlers ran; of a batch the share of each delivery.",
)
SETTLED: Final = Metric(
    "arvo.settled",
    "counter",
    "{delivery}",
    (QUEUE, OUTCOME),
    "Deliveries settled, by outcome: completed, retried, dead, released, snoozed, conflict, "
    "already, or the code of a refusal.",
)
LEASES_LOST: Final = Metric(
    "arvo.leases.lost",
    "counter",
    "{delivery}",
    (QUEUE,),
    "Deliveries whose lease was lost while their handler ran.",
)
RECONNECTS: Final = Metric(
    "arvo.reconnects",
    "counter",
    "{connection}",
    (CONNECTION,),
    "Connections of a worker that were lost and opened again: claims, heartbeat, wakeup.",
)

_OF_QUEUE = (QUEUE,)

GAUGES: Final = (
    Metric(
        "arvo.queue.depth",
        "gauge",
        "{delivery}",
        (QUEUE, STATE),
        "Deliveries by state: ready, deferred, waiting (behind their key or a limit), running.",
    ),
    Metric(
        "arvo.queue.oldest.age", "gauge", "s", _OF_QUEUE, "Age of the oldest that is ready, or 0."
    ),
    Metric(
        "arvo.queue.dead_letters",
        "gauge",
        "{delivery}",
        _OF_QUEUE,
        "Open dead letters; 10,001 stands for more.",
    ),
    Metric("arvo.queue.paused", "gauge", "", _OF_QUEUE, "1 while the queue is paused."),
    Metric(
        "arvo.queue.registered", "gauge", "", _OF_QUEUE, "0 while nobody has registered the queue."
    ),
    Metric(
        "arvo.lane.lag",
        "gauge",
        "s",
        (QUEUE, PRIORITY),
        "Age of what comes next in a lane, which is a priority of a queue.",
    ),
    Metric("arvo.queues", "gauge", "{queue}", (), "Queues that the installation knows."),
    Metric("arvo.workers", "gauge", "{worker}", (STATE,), "Workers that check in: alive, dead."),
    Metric("arvo.maintenance.age", "gauge", "s", (), "Time since maintain() was called."),
    Metric(
        "arvo.promotion.lag", "gauge", "s", (), "How long the first that is deferred is overdue."
    ),
    Metric("arvo.generation.number", "gauge", "", (), "The generation of history in use."),
    Metric("arvo.generation.age", "gauge", "s", (), "How long it has been in use."),
    Metric(
        "arvo.generation.kept",
        "gauge",
        "{generation}",
        (STATE,),
        "Older generations that are not emptied: as history, or because they are needed.",
    ),
    Metric("arvo.room.size", "gauge", "By", (STATE,), "Size of a table with all its partitions."),
    Metric(
        "arvo.schedules", "gauge", "{schedule}", (STATE,), "Schedules: active, paused, failing."
    ),
    Metric("arvo.schedule.lag", "gauge", "s", (), "How long the first fire is overdue."),
    Metric(
        "arvo.snapshot.age",
        "gauge",
        "{transaction}",
        (),
        "Age of the oldest snapshot that a session of the server holds.",
    ),
    Metric(
        "arvo.notification.usage", "gauge", "1", (), "Used share of the server's notifications."
    ),
    Metric("arvo.up", "gauge", "", (), "1 if the database answered when it was asked for gauges."),
)
"""What :func:`arvo_v1.gauges` tells, and whether it did."""

METRICS: Final = {
    metric.name: metric
    for metric in (
        SENT,
        CONSUMED,
        OPERATION_DURATION,
        PROCESS_DURATION,
        SETTLED,
        LEASES_LOST,
        RECONNECTS,
        *GAUGES,
    )
}
"""Every metric, by its name."""


class Sink(Protocol):
    """Somebody who wants to be told."""

    def add(self, metric: Metric, count: float, labels: Labels) -> None:
        """Count."""

    def record(self, metric: Metric, seconds: float, labels: Labels) -> None:
        """Take note of a duration."""


class _OpenTelemetry:
    """Tells the meter provider of the process."""

    def __init__(self) -> None:
        meter = metrics.get_meter("arvo_plpg")
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in METRICS.values():
            if metric.kind == "counter":
                self._counters[metric.name] = meter.create_counter(
                    metric.name, metric.unit, metric.about
                )
            elif metric.kind == "histogram":
                self._histograms[metric.name] = meter.create_histogram(
                    metric.name,
                    metric.unit,
                    metric.about,
                    explicit_bucket_boundaries_advisory=SECONDS,
                )

    def add(self, metric: Metric, count: float, labels: Labels) -> None:
        self._counters[metric.name].add(count, dict(labels))

    def record(self, metric: Metric, seconds: float, labels: Labels) -> None:
        self._histograms[metric.name].record(seconds, dict(labels))


_OPEN_TELEMETRY: list[_OpenTelemetry] = []
_OTHERS: list[Sink] = []


def _has_sdk() -> bool:
    """Whether the process has a meter provider that is not one of the API itself."""
    return not type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.metrics")


def join(sink: Sink) -> None:
    """Have somebody told from now on."""
    if sink not in _OTHERS:
        _OTHERS.append(sink)


def leave(sink: Sink) -> None:
    """Have somebody told no more."""
    if sink in _OTHERS:
        _OTHERS.remove(sink)


def sinks() -> list[Sink]:
    """Give those who want to be told; nobody, as a rule, and then nothing need be measured."""
    if not _has_sdk():
        return _OTHERS
    if not _OPEN_TELEMETRY:
        _OPEN_TELEMETRY.append(_OpenTelemetry())
    return [*_OPEN_TELEMETRY, *_OTHERS]
