"""W3C trace context in and out of events, and the span attributes of an event.

Only the OpenTelemetry API is used: without an SDK every span is silent and the headers of the
consumed event are passed on unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context, create_key, get_current, get_value
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from arvo_plpg.current import CURRENT

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

    from arvo_plpg.event import ArvoEvent

_PROPAGATOR = TraceContextTextMapPropagator()

PROCESSING = create_key("arvo-plpg-processing")
"""Key of a context: id and source of the event whose run the active span is."""


@dataclass(frozen=True, slots=True)
class TraceHeaders:
    """The two W3C headers; None where there is nothing to tell."""

    traceparent: str | None = None
    tracestate: str | None = None


_NO_HEADERS = TraceHeaders()


def span_headers(span: Span) -> TraceHeaders:
    """Give the headers that make a span the parent of what follows."""
    context = span.get_span_context()
    if not context.is_valid:
        return _NO_HEADERS
    return TraceHeaders(traceparent(context), context.trace_state.to_header() or None)


def traceparent(context: SpanContext) -> str:
    """Give the header that names a span."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def current_headers() -> TraceHeaders:
    """Give the headers of the active span; without one, those of the event that is worked on.

    So they are passed on unchanged from hop to hop where nothing makes spans.
    """
    headers = span_headers(trace.get_current_span())
    if headers.traceparent is None:
        current = CURRENT.get()
        if not isinstance(current, tuple) and current.headers is not None:
            return TraceHeaders(*current.headers)
    return headers


def run_context(event: ArvoEvent) -> Context:
    """Give the context for a span of an event's handler.

    It is the active one if that is the worker's run of this event; otherwise the one that the
    event's headers name.
    """
    if get_value(PROCESSING) == (event.id, event.source):
        return get_current()
    return event_context(event)


def span_named(header: object) -> SpanContext | None:
    """Give the span that a traceparent names; None if it names none."""
    if not isinstance(header, str):
        return None
    context = _PROPAGATOR.extract({"traceparent": header}, Context())
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


def event_context(event: ArvoEvent) -> Context:
    """Give the context whose span is the one named in the event's headers."""
    if event.traceparent is None:
        return Context()
    carrier = {"traceparent": event.traceparent}
    if event.tracestate is not None:
        carrier["tracestate"] = event.tracestate
    return _PROPAGATOR.extract(carrier, Context())


def event_attributes(event: ArvoEvent, prefix: str = "") -> dict[str, str | int | float]:
    """Give the span attributes of an event (section 1.7 of the semantics).

    Args:
        event: the event.
        prefix: put before each name, e.g. ``consumable.0.``.
    """
    core = {
        "id": event.id,
        "source": event.source,
        "spec_version": event.specversion,
        "subject": event.subject,
        "type": event.type,
        "time": event.time,
        "datacontenttype": event.datacontenttype,
        "dataschema": event.dataschema,
    }
    arvo = {
        "redirectto": event.redirectto,
        "to": event.to,
        "executionunits": event.executionunits,
        "parentid": event.parentid,
        "domain": event.domain,
    }
    named = {f"{prefix}cloudevents.event_{key}": value for key, value in core.items()}
    named_arvo = {f"{prefix}cloudevents.arvo.event_{key}": value for key, value in arvo.items()}
    return {key: "N/A" if value is None else value for key, value in (named | named_arvo).items()}
