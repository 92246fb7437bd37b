"""A worker that is watched loses its connection: nothing is lost, spans end, figures are right."""

import asyncio
import time
from collections import Counter

import psycopg
import pytest
from opentelemetry import metrics as otel
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from arvo_plpg import (
    HandlerOptions,
    PostgresEventBroker,
    QueueOptions,
    WorkerOptions,
    create_arvo_event,
)
from arvo_plpg.sync import Broker
from arvo_plpg.telemetry import metrics
from chaos.proxy import Trap

QUEUE = "com.test.watched"
MOMENTS = ("sent", "answered") * 3
EACH = 10
SECONDS = 60


class Spans(SpanProcessor):
    """Spans that were begun, by number, and those of them that have ended."""

    def __init__(self):
        self.begun = {}
        self.ended = []

    def on_start(self, span, parent_context=None):
        self.begun[span.context.span_id] = span.name

    def on_end(self, span):
        self.ended.append(span)

    def called(self, name):
        return [span for span in self.ended if span.name == f"{name} {QUEUE}"]


class Fails:
    """A handler that fails at the first attempt of every fifth event."""

    source = QUEUE

    def __init__(self):
        self.runs = Counter()

    async def execute(self, event):
        self.runs[event.id] += 1
        if event.data["number"] % 5 == 0 and self.runs[event.id] == 1:
            raise LookupError("not yet")
        return []


@pytest.fixture
def spans(monkeypatch):
    found, provider = Spans(), TracerProvider()
    provider.add_span_processor(found)
    monkeypatch.setattr("arvo_plpg.telemetry.spans._TRACER", provider.get_tracer("arvo_plpg"))
    for place in ("telemetry.spans", "telemetry.dispatching", "runtime.batch"):
        monkeypatch.setattr(f"arvo_plpg.{place}.tracing", lambda: True)
    return found


@pytest.fixture
def figures(monkeypatch):
    """What a metric has counted, by attributes of its points: figures(name)."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(otel, "get_meter_provider", lambda: provider)
    monkeypatch.setattr(otel, "get_meter", provider.get_meter)
    monkeypatch.setattr(metrics, "_OPEN_TELEMETRY", [])

    def read(name, label):
        data = reader.get_metrics_data()
        found = Counter()
        for resource in data.resource_metrics if data else ():
            for metric in (one for scope in resource.scope_metrics for one in scope.metrics):
                for point in metric.data.data_points if metric.name == name else ():
                    count = point.value if hasattr(point, "value") else point.count
                    found[point.attributes.get(label, "")] += count
        return found

    yield read
    provider.shutdown()


async def come(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {SECONDS} s in vain"
        await asyncio.sleep(0.01)


@pytest.mark.timeout(180)
async def test_what_is_told_of_a_worker_whose_connection_is_cut(
    proxy, through, port, address, spans, figures
):
    handler, traps = Fails(), []
    total = EACH * len(MOMENTS)
    retried = total // 5
    with psycopg.connect(address(port), autocommit=True) as direct:
        # What a call claimed whose answer was lost comes again when its lease is over.
        watched = PostgresEventBroker(through, lease_seconds=3)
        async with watched as broker:
            worker = WorkerOptions(concurrency=3, retry_limit=20, retry_delay=0)
            options = HandlerOptions(queue=QueueOptions(), worker=worker)
            await broker.register(handler, options)
            for place, moment in enumerate(MOMENTS):
                traps.append(Trap("settle", moment, lambda passing: passing.cut()))
                proxy.set(traps[-1])
                Broker(direct).dispatch_many([
                    create_arvo_event(
                        id=f"{place}/{number}", type="com.test.event", source="com.test.source",
                        subject=f"s{number}", to=QUEUE, data={"number": number},
                    )
                    for number in range(EACH)
                ])  # fmt: skip
                await come(traps[-1].fired.is_set)
            settled = "SELECT count(*) FROM arvo_v1.history(%s, p_limit => 1000) WHERE outcome = %s"
            await come(lambda: direct.execute(settled, [QUEUE, "completed"]).fetchone() == (total,))
            told = ("arvo.settled", metrics.OUTCOME)
            await come(lambda: figures(*told).total() == total + retried)

            # Nothing is lost, and nothing ran again because of a cut.
            assert len(handler.runs) == total
            assert handler.runs.total() == total + retried
            outcomes = figures(*told)
            assert outcomes.keys() <= {"completed", "retried", "already"}
            assert 0 < outcomes["already"] <= outcomes.total()
            assert outcomes["completed"] <= total
            assert outcomes["retried"] <= retried
            assert figures("messaging.client.consumed.messages", metrics.QUEUE) == {
                QUEUE: total + retried
            }
            ran = figures("messaging.process.duration", metrics.ERROR)
            assert ran == {"": total, "LookupError": retried}
            assert figures("arvo.leases.lost", metrics.QUEUE).total() == 0
            lost = figures("arvo.reconnects", metrics.CONNECTION)
            assert lost["claims"] >= len(MOMENTS)

    runs = spans.called("process")
    assert len(runs) == total + retried
    failed = [span for span in runs if "error.type" in span.attributes]
    assert len(failed) == retried
    cut = [span for span in spans.called("settle") if "error.type" in span.attributes]
    assert len(cut) >= len(MOMENTS)
    assert spans.begun.keys() == {span.context.span_id for span in spans.ended}
    assert all(span.end_time >= span.start_time for span in spans.ended)
