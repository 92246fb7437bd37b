"""What a broker tells: spans from dispatch to settlement, metrics, fields of log records."""

import logging
from collections import defaultdict

import pytest
from opentelemetry import metrics as otel
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import messaging_attributes as convention
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client.parser import text_string_to_metric_families

from arvo_plpg import create_arvo_event, create_arvo_event_factory, telemetry
from arvo_plpg.demo.calculator import ADD_CONTRACT, create_add_handler
from arvo_plpg.demo.weighted_average import (
    WEIGHTED_AVERAGE_CONTRACT,
    create_weighted_average_workflow,
)
from arvo_plpg.errors import InvalidArgument
from arvo_plpg.telemetry import metrics, observing

TASK = "com.example.task"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def spans(monkeypatch):
    """Spans by name, in the order in which they ended: spans()[name]."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for place in ("telemetry.spans", "handlers.handler_span", "event_factory"):
        monkeypatch.setattr(f"arvo_plpg.{place}._TRACER", provider.get_tracer("arvo_plpg"))
    for place in ("telemetry.spans", "telemetry.dispatching", "runtime.batch"):
        monkeypatch.setattr(f"arvo_plpg.{place}.tracing", lambda: True)

    def tell():
        found = defaultdict(list)
        for span in exporter.get_finished_spans():
            found[span.name].append(span)
        return found

    tell.tracer = provider.get_tracer("test")
    return tell


async def test_one_event_is_one_trace_from_dispatch_to_settlement(broker, until, spans):
    with spans.tracer.start_as_current_span("user"):
        event = create_arvo_event_factory(ADD_CONTRACT.version("1.0.0")).accepts(
            source="com.test.test", data={"numbers": [1, 2]}
        )
    await broker.register(create_add_handler())
    await broker.dispatch(event)
    await until(lambda: spans()["settle com.calculator.add"])
    (made,) = spans()["EventFactory.accepts<com.calculator.add>"]
    (dispatch,) = spans()["dispatch com.calculator.add"]
    (process,) = spans()["process com.calculator.add"]
    (handler,) = spans()["Handler<#/org/amas/calculator/add>"]
    (settle,) = spans()["settle com.calculator.add"]

    assert dispatch.kind is SpanKind.CLIENT  # the event has a creation context of its own
    assert [link.context.span_id for link in dispatch.links] == [made.context.span_id]
    assert dispatch.attributes["arvo.outcome"] == "queued"
    assert process.kind is SpanKind.CONSUMER
    assert process.parent.span_id == made.context.span_id
    assert handler.parent.span_id == process.context.span_id
    assert settle.kind is SpanKind.CLIENT
    assert settle.parent.span_id == process.context.span_id
    assert {span.context.trace_id for span in (made, process, handler, settle)} == {
        made.context.trace_id
    }
    assert dict(process.attributes) == {
        convention.MESSAGING_SYSTEM: "arvo",
        convention.MESSAGING_OPERATION_NAME: "process",
        convention.MESSAGING_OPERATION_TYPE: convention.MessagingOperationTypeValues.PROCESS.value,
        convention.MESSAGING_DESTINATION_NAME: "com.calculator.add",
        convention.MESSAGING_MESSAGE_ID: event.id,
        convention.MESSAGING_MESSAGE_CONVERSATION_ID: event.subject,
        "arvo.event.type": "com.calculator.add",
        "arvo.delivery.id": process.attributes["arvo.delivery.id"],
        "arvo.delivery.attempt": 1,
    }
    types = convention.MessagingOperationTypeValues
    assert dispatch.attributes[convention.MESSAGING_OPERATION_TYPE] == types.SEND.value
    assert settle.attributes[convention.MESSAGING_OPERATION_TYPE] == types.SETTLE.value
    assert settle.attributes[convention.MESSAGING_CLIENT_ID]


async def test_an_event_without_headers_takes_those_of_its_dispatch(
    broker, event, recorder, until, spans
):
    handler = recorder()
    await broker.register(handler)
    plain = event(TASK)
    assert plain.traceparent is None
    await broker.dispatch(plain)
    await broker.dispatch_many([event(TASK, number=1), event(TASK, number=2)])
    await until(lambda: len(handler.seen) == 3)
    single, several = spans()[f"dispatch {TASK}"]
    assert (single.kind, several.kind) == (SpanKind.PRODUCER, SpanKind.PRODUCER)
    assert several.attributes[convention.MESSAGING_BATCH_MESSAGE_COUNT] == 2
    assert [one.traceparent.split("-")[2] for one in handler.seen] == [
        f"{span.context.span_id:016x}" for span in (single, several, several)
    ]


async def test_an_attempt_links_to_the_one_before(
    broker, event, recorder, until, worker_options, spans, story
):
    async def fail_once(_):
        if len(handler.seen) == 1:
            raise LookupError("not yet")
        return []

    handler = recorder(action=fail_once)
    await broker.register(handler, worker_options(retry_limit=1, retry_delay=0))
    asked = event(TASK, traceparent=PARENT)
    await broker.dispatch(asked)
    await until(lambda: len(spans()[f"process {TASK}"]) == 2)
    first, second = spans()[f"process {TASK}"]
    assert first.status.status_code is StatusCode.ERROR
    assert first.attributes["error.type"] == "LookupError"
    assert first.events[0].attributes["exception.message"] == "not yet"
    assert second.attributes["arvo.delivery.attempt"] == 2
    (link,) = second.links
    assert link.context.span_id == first.context.span_id
    assert link.attributes["arvo.link"] == "previous attempt"
    assert f"{second.parent.span_id:016x}" in PARENT


async def test_a_step_that_collects_links_to_all_answers(broker, until, spans):
    done = []
    await broker.on_workflow_complete(source="com.test.test", listener=done.append)
    from arvo_plpg.demo.calculator import create_product_handler
    from arvo_plpg.demo.show import approve

    await broker.register(create_weighted_average_workflow())
    await broker.register(create_product_handler())
    await broker.register(create_add_handler())
    broker.on_domained_event(approve)
    start = create_arvo_event_factory(WEIGHTED_AVERAGE_CONTRACT.version("1.0.0")).init(
        source="com.test.test",
        data={
            "parentSubject$$": None,
            "input": [{"value": 10, "weight": 0.5}, {"value": 20, "weight": 0.5}],
        },
    )
    await broker.dispatch(start)
    await until(lambda: done)
    steps = [
        span
        for name, found in spans().items()
        if name.startswith("Resumable<")
        for span in found
        if span.links
    ]
    assert steps, sorted(spans())
    products = {span.context.span_id for span in spans()["Handler<#/org/amas/calculator/product>"]}
    assert {link.context.span_id for span in steps for link in span.links} <= products


async def test_headers_go_from_hop_to_hop_where_nothing_makes_spans(broker, event, recorder, until):
    """No SDK here: what a plain handler and a plain listener emit carries what they consumed."""

    async def answer(consumed):
        made = create_arvo_event(source=TASK, type="com.example.hop.two", subject="s", data={})
        assert made.traceparent == PARENT
        return [event("com.example.second", number=2)]

    handler, second = recorder(action=answer), recorder("com.example.second")
    await broker.register(handler)
    await broker.register(second)
    await broker.dispatch(event(TASK, traceparent=PARENT, tracestate="vendor=data,other=1"))
    await until(lambda: second.seen)
    assert (second.seen[0].traceparent, second.seen[0].tracestate) == (
        PARENT,
        "vendor=data,other=1",
    )


@pytest.fixture
def exposition(dsn, monkeypatch):
    monkeypatch.setattr(observing, "FRESH_SECONDS", 0.0)
    found = telemetry.exposition(dsn)
    yield found
    found.close()


def read(exposition):
    """Samples of the text by name, label values and value."""
    _, text = exposition.render()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def mishaps(broker, event, recorder, until, worker_options, ask):
    """Five events: one fails twice and dies, one is answered; and one is a duplicate."""

    async def act(consumed):
        if consumed.data["number"] == 0:
            raise LookupError("never")
        return [event("com.example.nobody")] if consumed.data["number"] == 1 else []

    handler = recorder(action=act)
    await broker.register(handler, worker_options(retry_limit=1, retry_delay=0))
    asked = [event(TASK, number=n) for n in range(5)]
    await broker.dispatch_many(asked)
    await broker.dispatch(asked[4])
    await until(lambda: len(handler.seen) == 6)
    await until(lambda: ask("SELECT 1 FROM arvo_v1.dead_letters()"))


async def test_prometheus_reads_what_happened(
    broker, event, recorder, until, worker_options, ask, exposition
):
    await mishaps(broker, event, recorder, until, worker_options, ask)
    await until(lambda: read(exposition).get(("arvo_settled_total", TASK, "dead")))
    found = read(exposition)
    sent = "messaging_client_sent_messages_total"
    assert found[sent, "arvo", TASK, "dispatch", "queued"] == 5
    assert found[sent, "arvo", TASK, "dispatch", "duplicate"] == 1
    assert found["messaging_client_consumed_messages_total", "arvo", "claim", TASK] == 6
    assert found["arvo_settled_total", TASK, "completed"] == 4
    assert found["arvo_settled_total", TASK, "retried"] == 1
    assert found["arvo_settled_total", TASK, "dead"] == 1
    ran = "messaging_process_duration_seconds_count"
    assert found[ran, "", "arvo", TASK, "process"] == 4
    assert found[ran, "LookupError", "arvo", TASK, "process"] == 2
    assert found["messaging_client_operation_duration_seconds_count", "", "arvo", "dispatch"] == 2
    assert found["messaging_client_operation_duration_seconds_count", "", "arvo", "settle"] > 0
    assert found["arvo_queue_dead_letters", TASK] == 1
    assert found["arvo_queue_depth", "com.example.nobody", "ready"] == 1
    assert found["arvo_queue_registered", "com.example.nobody"] == 0
    assert found["arvo_up",] == 1


async def test_openTelemetry_reads_the_same(  # noqa: N802
    broker, event, recorder, until, worker_options, ask, dsn, monkeypatch
):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(otel, "get_meter_provider", lambda: provider)
    monkeypatch.setattr(otel, "get_meter", provider.get_meter)
    monkeypatch.setattr(metrics, "_OPEN_TELEMETRY", [])
    observed = telemetry.observe_gauges(dsn)
    await mishaps(broker, event, recorder, until, worker_options, ask)

    def read_all():
        data = reader.get_metrics_data()
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def settled():
        points = read_all()["arvo.settled"].data.data_points
        return {point.attributes["arvo.outcome"]: point.value for point in points}

    await until(lambda: settled().get("dead"))
    assert settled() == {"completed": 4, "retried": 1, "dead": 1}
    found = read_all()
    assert {found[name].unit for name in found} == {telemetry.METRICS[name].unit for name in found}
    assert (
        found["messaging.process.duration"].data.data_points[0].explicit_bounds == metrics.SECONDS
    )
    (up,) = found["arvo.up"].data.data_points
    assert up.value == 1
    provider.shutdown()
    observed.close()


async def test_a_database_that_is_away_is_told_of():
    exposition = telemetry.exposition("postgresql://127.0.0.1:1/nothing")
    assert read(exposition)["arvo_up",] == 0
    exposition.close()


async def test_a_record_tells_of_its_delivery_in_fields(
    broker, event, recorder, until, worker_options, caplog, ask
):
    async def fail(_):
        raise LookupError("forged\nERROR arvo_plpg all is lost")

    logger = logging.getLogger("test.of.ours")
    broker.set_logger(logger)
    await broker.register(recorder(action=fail), worker_options(retry_limit=0))
    with caplog.at_level(logging.INFO, "test.of.ours"):
        asked = event(TASK, id="id\nERROR forged", subject="subject")
        await broker.dispatch(asked)
        await until(lambda: ask("SELECT 1 FROM arvo_v1.dead_letters()"))
        await until(lambda: any(r.levelno == logging.ERROR for r in caplog.records))
    records = [record for record in caplog.records if hasattr(record, "event_id")]
    assert {record.outcome for record in records} == {"failed", "dead"}
    for record in records:
        assert (record.queue, record.subject, record.attempt) == (TASK, "subject", 1)
        assert record.event_id == r"id\nERROR forged"
        assert "\n" not in record.getMessage()


async def test_a_logger_is_one_of_the_standard_library(broker):
    broker.set_logger(logging.LoggerAdapter(logging.getLogger("x"), {}))
    with pytest.raises(InvalidArgument, match="argument is not valid"):
        broker.set_logger(print)
