"""The span around one execution of a handler."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import trace
from opentelemetry.context import get_current

from arvo_plpg.trace_context import event_attributes, run_context, span_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from opentelemetry.trace import Span, SpanKind

    from arvo_plpg.event import ArvoEvent

InheritFrom = Literal["EVENT", "CONTEXT"]
"""Whose child the span is: the event's, or the active one.

The event's is the worker's span of its run, or, without that, the span named in its headers.
"""

_TRACER = trace.get_tracer("arvo_plpg")


@contextmanager
def handler_span(
    name: str,
    event: ArvoEvent,
    *,
    kind: SpanKind,
    inherit_from: InheritFrom,
    attributes: dict[str, str],
) -> Iterator[Span]:
    """Open the span, with the attributes of the consumed event; errors are put on it."""
    context = run_context(event) if inherit_from == "EVENT" else get_current()
    with _TRACER.start_as_current_span(
        name, context=context, kind=kind, attributes=attributes
    ) as span:
        if span.is_recording():
            span.set_attributes(event_attributes(event, "consumable.0."))
        yield span


def record_outcome(span: Span, status: str, events: Sequence[ArvoEvent]) -> None:
    """Write the outcome, and what is emitted, on the span."""
    if span.is_recording():
        span.set_attribute("arvo.handler.execution.status", status)
        for position, event in enumerate(events):
            span.set_attributes(event_attributes(event, f"emittables.{position}."))


def link_answers(span: Span, event: ArvoEvent, answers: Iterable[Mapping[str, Any]]) -> None:
    """Link the span of a step to the spans that its other collected answers come from."""
    if not span.is_recording():
        return
    for answer in answers:
        if (
            answer["id"] != event.id
            and (found := span_named(answer.get("traceparent"))) is not None
        ):
            span.add_link(found, {"cloudevents.event_id": answer["id"]})


def warn(span: Span, message: str) -> None:
    """Put a warning on the span."""
    span.add_event("WARNING", {"message": message})
