"""Observing: the gauges of a database, asked for now and then."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg
from opentelemetry import metrics as api
from opentelemetry.metrics import Observation

from arvo_plpg._sync.broker import Broker
from arvo_plpg.errors import ArvoError
from arvo_plpg.runtime.connect import connection_parameters, with_settings
from arvo_plpg.telemetry.metrics import GAUGES, PRIORITY, QUEUE, STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.metrics import CallbackOptions

    from arvo_plpg.rows import Gauge

FRESH_SECONDS: Final = 5.0
"""How long an answer is kept: who asks more often does not cost the database more."""

OTHERS: Final = "(others)"
"""How the queues beyond the limit are called together; no queue can have that name."""

_STATEMENT_MILLISECONDS: Final = 10_000


class Observed:
    """The gauges of a database, at most some seconds old; one connection, in any thread.

    Args:
        dsn: the database.
        schema: name of the installation.
        most: of how many queues they are told one by one.
    """

    def __init__(self, dsn: str, *, schema: str = "arvo", most: int = 1000) -> None:
        self._dsn = dsn
        self._schema = schema
        self._most = most
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._asked_at = -FRESH_SECONDS
        self._found: Sequence[Gauge] | None = None

    def read(self) -> Sequence[Gauge] | None:
        """Give them; None if the database does not answer."""
        with self._lock:
            if time.monotonic() - self._asked_at >= FRESH_SECONDS:
                self._found = self._ask()
                self._asked_at = time.monotonic()
            return self._found

    def close(self) -> None:
        """Disconnect; the next :meth:`read` connects again."""
        with self._lock:
            self._disconnect()

    def _ask(self) -> Sequence[Gauge] | None:
        try:
            if self._connection is None or self._connection.broken:
                parameters = connection_parameters(self._dsn, f"{self._schema}-gauges", 5)
                parameters["options"] = with_settings(
                    self._dsn, {"statement_timeout": str(_STATEMENT_MILLISECONDS)}
                )
                self._connection = psycopg.connect(self._dsn, autocommit=True, **parameters)
            return Broker(self._connection, schema=self._schema).gauges(self._most)
        except (psycopg.Error, ArvoError, OSError):
            self._disconnect()
            return None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def labels_of(gauge: Gauge) -> dict[str, str]:
    """Give the attributes of a figure."""
    found = {}
    if gauge.queue is not None:
        found[QUEUE] = gauge.queue or OTHERS
    if gauge.priority is not None:
        found[PRIORITY] = str(gauge.priority)
    if gauge.state is not None:
        found[STATE] = gauge.state
    return found


def observe(dsn: str, *, schema: str, most: int) -> Observed:
    """Register the gauges with OpenTelemetry's meter provider; see ``telemetry.observe_gauges``."""
    observed = Observed(dsn, schema=schema, most=most)
    meter = api.get_meter("arvo_plpg")
    for metric in GAUGES:
        meter.create_observable_gauge(
            metric.name, [_callback(observed, metric.name)], metric.unit, metric.about
        )
    return observed


def _callback(observed: Observed, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def call(_: CallbackOptions) -> Iterable[Observation]:
        found = observed.read()
        if name == "arvo.up":
            return [Observation(int(found is not None))]
        return [
            Observation(gauge.value, labels_of(gauge))
            for gauge in found or ()
            if gauge.name == name
        ]

    return call
