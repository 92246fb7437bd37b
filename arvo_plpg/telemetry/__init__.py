"""Telemetry: spans and metrics, by the API of OpenTelemetry; and metrics for Prometheus.

Without an SDK of OpenTelemetry nothing is measured and no span is made: what a process does then is
one look a turn whether there is one. ``docs/telemetry.md`` names every span and every metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.telemetry.metrics import METRICS, Metric

if TYPE_CHECKING:
    from arvo_plpg.telemetry.observing import Observed
    from arvo_plpg.telemetry.prometheus import Exposition

__all__ = ["METRICS", "Metric", "exposition", "observe_gauges"]


def exposition(dsn: str | None = None, *, schema: str = "arvo", most: int = 1000) -> Exposition:
    """Give the metrics of this process, and the gauges of a database, to a Prometheus endpoint.

    Mount ``render`` anywhere; ``close`` it in the end::

        metrics = telemetry.exposition(dsn)
        content_type, body = metrics.render(request.headers.get("accept", ""))

    From now on this process counts, with or without OpenTelemetry.

    Args:
        dsn: whose gauges to ask for; without it there are only those of this process.
        schema: name of the installation.
        most: of how many queues gauges are told one by one; the others are told together.

    Raises:
        PackageMissing: the extra ``metrics`` is not installed.
    """
    from arvo_plpg.telemetry.prometheus import Exposition  # noqa: PLC0415 - an extra

    return Exposition(dsn, schema=schema, most=most)


def observe_gauges(dsn: str, *, schema: str = "arvo", most: int = 1000) -> Observed:
    """Have OpenTelemetry ask a database for its gauges whenever it collects.

    Once in a system is enough: they are of the installation, not of this process. They are asked
    for in the thread of whoever collects.

    Args:
        dsn: the database.
        schema: name of the installation.
        most: of how many queues gauges are told one by one; the others are told together.

    Returns:
        What holds the connection; ``close`` it in the end.
    """
    from arvo_plpg.telemetry.observing import observe  # noqa: PLC0415 - the worker does without

    return observe(dsn, schema=schema, most=most)
