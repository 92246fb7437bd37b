"""Spans, with a real SDK that writes them down; and headers from event to event."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from arvo_plpg import ArvoEvent, create_arvo_event, create_arvo_event_factory, event_factory
from arvo_plpg.demo.average import AVERAGE_CONTRACT, create_average_workflow
from arvo_plpg.demo.calculator import ADD_CONTRACT, create_add_handler
from arvo_plpg.handlers import handler_span

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def exporter():
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def tracer(exporter):
    """A tracer of our own: the process-wide provider could not be taken away again."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("arvo_plpg")


@pytest.fixture
def spans(exporter, tracer, monkeypatch):
    monkeypatch.setattr(handler_span, "_TRACER", tracer)
    monkeypatch.setattr(event_factory, "_TRACER", tracer)
    exporter.clear()
    return lambda: {span.name: span for span in exporter.get_finished_spans()}


def asked(**fields):
    factory = create_arvo_event_factory(ADD_CONTRACT.version("1.0.0"))
    data = {"numbers": [1, 2]}
    return factory.accepts(source="com.test.test", data=data, **fields)


async def test_a_handler_continues_the_trace_of_its_event(spans):
    event = asked(traceparent=PARENT, tracestate="vendor=data")
    [answer] = await create_add_handler().execute(event)
    span = spans()["Handler<#/org/amas/calculator/add>"]
    assert span.kind is SpanKind.CONSUMER
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" in PARENT
    assert answer.traceparent == f"{PARENT[:36]}{span.context.span_id:016x}-01"
    assert answer.tracestate == "vendor=data"
    assert span.attributes["arvo.span.kind"] == "handler.simple"
    assert span.attributes["arvo.handler.source"] == "com.calculator.add"
    assert span.attributes["arvo.handler.execution.status"] == "success"
    assert span.attributes["consumable.0.cloudevents.event_id"] == event.id
    assert span.attributes["emittables.0.cloudevents.event_id"] == answer.id
    assert span.attributes["consumable.0.cloudevents.arvo.event_domain"] == "N/A"


async def test_a_handler_may_inherit_from_the_active_span(spans, tracer):
    with tracer.start_as_current_span("outer") as outer:
        await create_add_handler().execute(asked(traceparent=PARENT), inherit_from="CONTEXT")
    span = spans()["Handler<#/org/amas/calculator/add>"]
    assert span.parent.span_id == outer.get_span_context().span_id


async def test_a_garbage_traceparent_starts_a_trace_of_its_own(spans):
    await create_add_handler().execute(asked(traceparent="garbage"))
    assert spans()["Handler<#/org/amas/calculator/add>"].parent is None


async def test_a_workflow_has_a_producer_span(spans, memory):
    factory = create_arvo_event_factory(AVERAGE_CONTRACT.version("1.0.0"))
    event = factory.init(source="com.test.test", data={"parentSubject$$": None, "numbers": [1, 2]})
    [emitted] = await create_average_workflow(memory).execute(event)
    span = spans()["Orchestrator<#/org/amas/calculator/average>@<arvo.orc.workflow.average>"]
    assert span.kind is SpanKind.PRODUCER
    assert span.attributes["arvo.handler.execution.type"] == "orchestrator"
    assert emitted.traceparent.split("-")[2] == f"{span.context.span_id:016x}"
    assert "EventFactory.init<arvo.orc.workflow.average>" in spans()


async def test_the_error_of_a_function_is_on_the_span(spans):
    broken = ArvoEvent.from_dict(asked().to_dict() | {"data": {"numbers": []}})
    await create_add_handler().execute(broken)
    span = spans()["Handler<#/org/amas/calculator/add>"]
    assert span.attributes["arvo.handler.execution.status"] == "error"
    assert [event.name for event in span.events] == ["exception"]


def test_an_event_takes_the_active_span_as_its_parent(spans, tracer):
    fields = {"source": "com.a.b", "type": "com.a.b", "subject": "s", "data": {}}
    assert create_arvo_event(**fields).traceparent is None
    with tracer.start_as_current_span("outer") as outer:
        event = create_arvo_event(**fields)
        create_arvo_event(**fields, datacontenttype="application/json")
    assert event.traceparent.split("-")[2] == f"{outer.get_span_context().span_id:016x}"
    assert create_arvo_event(**fields, traceparent=PARENT).traceparent == PARENT
    assert [event.name for event in spans()["outer"].events] == ["WARNING"]
