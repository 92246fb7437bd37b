"""W3C trace context in and out of events, and the span attributes of an event.

Only the OpenTelemetry API is used: without an SDK every span is silent and the headers of the
consumed event are passed on unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from arvo_plpg.event import ArvoEvent

_PROPAGATOR = TraceContextTextMapPropagator()


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
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return TraceHeaders(traceparent, context.trace_state.to_header() or None)


def current_headers() -> TraceHeaders:
    """Give the headers of the active span."""
    return span_headers(trace.get_current_span())


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
