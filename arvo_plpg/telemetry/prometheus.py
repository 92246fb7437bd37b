"""Prometheus: the metrics of this process, and the gauges of a database, as text to be scraped.

Needs the extra ``metrics``. Text, escaping and content types are those of prometheus-client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.errors import PackageMissing
from arvo_plpg.telemetry import metrics
from arvo_plpg.telemetry.observing import Observed, labels_of

try:
    from prometheus_client import CollectorRegistry, Counter, Histogram
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise PackageMissing("prometheus-client", "metrics") from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from arvo_plpg.telemetry.metrics import Metric


class _Sink:
    """What this process counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in metrics.METRICS.values():
            labels = list(map(label, metric.labels))
            if metric.kind == "counter":
                self._counters[metric.name] = Counter(
                    metric.prometheus, metric.about, labels, registry=registry
                )
            elif metric.kind == "histogram":
                self._histograms[metric.name] = Histogram(
                    metric.prometheus,
                    metric.about,
                    labels,
                    registry=registry,
                    buckets=metrics.SECONDS,
                )

    def add(self, metric: Metric, count: float, labels: Mapping[str, str]) -> None:
        self._counters[metric.name].labels(*_values(metric, labels)).inc(count)

    def record(self, metric: Metric, seconds: float, labels: Mapping[str, str]) -> None:
        self._histograms[metric.name].labels(*_values(metric, labels)).observe(seconds)


class _Gauges(Collector):
    """What a database tells when it is asked."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # or registering it would ask the database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = self._observed.read()
        families = {
            metric.name: GaugeMetricFamily(
                metric.prometheus, metric.about, labels=list(map(label, metric.labels))
            )
            for metric in metrics.GAUGES
        }
        families["arvo.up"].add_metric([], float(found is not None))
        for gauge in found or ():
            if (family := families.get(gauge.name)) is not None:  # not of a newer database
                values = _values(metrics.METRICS[gauge.name], labels_of(gauge))
                family.add_metric(values, gauge.value)
        yield from families.values()


class Exposition:
    """What a Prometheus endpoint answers; made by :func:`arvo_plpg.telemetry.exposition`.

    Args:
        dsn: whose gauges to ask for; None for none.
        schema: name of the installation.
        most: of how many queues gauges are told one by one.
    """

    def __init__(self, dsn: str | None = None, *, schema: str = "arvo", most: int = 1000) -> None:
        self._registry = CollectorRegistry()
        self._sink = _Sink(self._registry)
        self._observed = None if dsn is None else Observed(dsn, schema=schema, most=most)
        if self._observed is not None:
            self._registry.register(_Gauges(self._observed))
        metrics.join(self._sink)

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Give the content type and the text. Asks the database: not for the event loop.

        Args:
            accept: the header of the request, which decides between the formats.
        """
        encoder, content_type = choose_encoder(accept)
        return content_type, encoder(self._registry)

    def close(self) -> None:
        """Count no more, and disconnect."""
        metrics.leave(self._sink)
        if self._observed is not None:
            self._observed.close()


def label(attribute: str) -> str:
    """Give the name of an attribute as a label."""
    return attribute.replace(".", "_")


def _values(metric: Metric, labels: Mapping[str, str]) -> list[str]:
    return [labels.get(name, "") for name in metric.labels]
