"""Spans of the broker: dispatch, process and settle, by OpenTelemetry's messaging conventions."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import attach, detach, set_value
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from arvo_plpg.trace_context import PROCESSING, event_context, span_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.runtime.delivery import Delivery

SYSTEM: Final = "arvo"
MOST_LINKS: Final = 128
"""Links of one span; an SDK keeps no more either, unless it is told to."""

_TRACER = trace.get_tracer("arvo_plpg")


def tracing() -> bool:
    """Whether the process has a tracer provider that is not one of the API itself."""
    return not type(trace.get_tracer_provider()).__module__.startswith("opentelemetry.trace")


def _attributes(
    name: str, kind: str, queue: str | None, count: int | None
) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
    }
    if queue is not None:
        found["messaging.destination.name"] = queue
    if count is not None:
        found["messaging.batch.message_count"] = count
    return found


def fail(span: Span, error: BaseException) -> None:
    """Put an error on a span, as the conventions want it."""
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))


@contextmanager
def dispatch_span(events: Sequence[ArvoEvent]) -> Iterator[Span]:
    """Open the span of a dispatch, a child of the active one.

    It is a producer's if some event has no headers yet and takes this span's; otherwise a client's
    that links to the spans which made the events.
    """
    queues = {event.to or event.type for event in events}
    queue = queues.pop() if len(queues) == 1 else None
    single = events[0] if len(events) == 1 else None
    attributes = _attributes("dispatch", "send", queue, None if single else len(events))
    if single is not None:
        attributes |= _message(single.id, single.subject)
    links = []
    for event in events[:MOST_LINKS]:
        made_by = span_named(event.traceparent)
        if made_by is not None and made_by != trace.get_current_span().get_span_context():
            links.append(Link(made_by, {"messaging.message.id": event.id}))
    producing = any(event.traceparent is None for event in events)
    with _TRACER.start_as_current_span(
        f"dispatch {queue}" if queue else "dispatch",
        kind=SpanKind.PRODUCER if producing else SpanKind.CLIENT,
        attributes=attributes,
        links=links,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            fail(span, error)
            raise


@contextmanager
def process_span(delivery: Delivery) -> Iterator[Span]:
    """Open the span of a run: a child of the event's, with a link to the attempt before."""
    event = delivery.event
    attributes = _attributes("process", "process", delivery.queue, None)
    attributes |= _message(event.id, event.subject)
    attributes["arvo.event.type"] = event.type
    attributes["arvo.delivery.id"] = delivery.number
    attributes["arvo.delivery.attempt"] = delivery.attempt
    with _TRACER.start_as_current_span(
        f"process {delivery.queue}",
        context=event_context(event),
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        links=_links([delivery], own=False),
        set_status_on_exception=False,
    ) as span:
        delivery.span = span.get_span_context()
        token = attach(set_value(PROCESSING, (event.id, event.source)))
        try:
            yield span
        except BaseException as error:
            fail(span, error)
            raise
        finally:
            detach(token)


@contextmanager
def batch_span(source: str, deliveries: Sequence[Delivery]) -> Iterator[Span]:
    """Open the span of a batch: links to the span of each event, and to the attempts before."""
    queues = {delivery.queue for delivery in deliveries}
    queue = queues.pop() if len(queues) == 1 else source
    with _TRACER.start_as_current_span(
        f"process {queue}",
        kind=SpanKind.CONSUMER,
        attributes={
            **_attributes("process", "process", queue, len(deliveries)),
            "arvo.handler.source": source,
        },
        links=_links(deliveries, own=True),
        set_status_on_exception=False,
    ) as span:
        for delivery in deliveries:
            delivery.span = span.get_span_context()
        try:
            yield span
        except BaseException as error:
            fail(span, error)
            raise


def settle_span(
    deliveries: Sequence[Delivery], began: int, ended: int, client: str, error: str | None
) -> None:
    """Write down a settlement: a child of the run if it is of one, with links to all if of many.

    Args:
        deliveries: what was settled; at least one.
        began: when the call was sent, in nanoseconds of the epoch.
        ended: when it was answered.
        client: what the worker calls itself.
        error: name of what went wrong.
    """
    runs = {one.span.span_id: one.span for one in deliveries if one.span is not None}
    queues = {delivery.queue for delivery in deliveries}
    queue = queues.pop() if len(queues) == 1 else None
    single = deliveries[0] if len(deliveries) == 1 else None
    attributes = _attributes("settle", "settle", queue, None if single else len(deliveries))
    attributes["messaging.client.id"] = client
    if single is not None:
        attributes |= _message(single.event_id, single.subject)
    alone = next(iter(runs.values())) if len(runs) == 1 else None
    parent = trace.set_span_in_context(trace.NonRecordingSpan(alone)) if alone else None
    span = _TRACER.start_span(
        f"settle {queue}" if queue else "settle",
        context=parent,
        kind=SpanKind.CLIENT,
        attributes=attributes,
        links=[] if alone else [Link(run) for run in list(runs.values())[:MOST_LINKS]],
        start_time=began,
    )
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(ended)


def _message(number: str, subject: str) -> dict[str, AttributeValue]:
    return {"messaging.message.id": number, "messaging.message.conversation_id": subject}


def _links(deliveries: Sequence[Delivery], *, own: bool) -> list[Link]:
    links: list[Link] = []
    for delivery in deliveries:
        if len(links) >= MOST_LINKS:
            break
        named = {"messaging.message.id": delivery.event_id}
        if own and (made_by := span_named(delivery.flat.get("traceparent"))) is not None:
            links.append(Link(made_by, named))
        error = (delivery.cause or {}).get("error")
        before = span_named(error.get("traceparent")) if isinstance(error, dict) else None
        if before is not None:
            links.append(Link(before, {**named, "arvo.link": "previous attempt"}))
    return links
