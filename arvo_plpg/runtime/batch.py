"""Batch: several deliveries that a batch handler is given at once, each with its own outcome."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from arvo_plpg.runtime.delivery import begin
from arvo_plpg.runtime.emitted import checked
from arvo_plpg.trace_context import event_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.handler import BatchHandler
    from arvo_plpg.runtime.delivery import Delivery

_TRACER = trace.get_tracer("arvo_plpg")


async def run_batch(
    handler: BatchHandler, deliveries: Sequence[Delivery]
) -> Sequence[list[ArvoEvent] | Exception]:
    """Let a handler have the events of some deliveries; give the outcome of each.

    An event that cannot even be built, and an outcome that is neither a list of events nor an
    exception, are failures of that delivery alone.

    Raises:
        TypeError: the handler did not return one outcome for each event.
        Exception: whatever the handler raised.
    """
    events: list[ArvoEvent] = []
    whole: list[Delivery] = []
    outcomes: dict[Delivery, list[ArvoEvent] | Exception] = {}
    for delivery in deliveries:
        try:
            events.append(delivery.event)
        except Exception as error:  # noqa: BLE001 - the others are to run
            outcomes[delivery] = error
        else:
            whole.append(delivery)
    begin(tuple(whole))
    with _span(handler.source, events):
        given = await handler.execute_many(events) if events else []
    if not isinstance(given, list | tuple) or len(given) != len(whole):  # the events are its own
        told = f"{len(given)}" if isinstance(given, list | tuple) else type(given).__name__
        raise TypeError(
            f"{handler.source!a} must return a list with one outcome for each of {len(whole)} "
            f"events, not {told}"
        )
    if not outcomes and not any(given):  # nothing emitted, nothing failed: the usual case
        return [_outcome(outcome, handler.source) for outcome in given]
    outcomes.update(
        (delivery, _outcome(outcome, handler.source))
        for delivery, outcome in zip(whole, given, strict=True)
    )
    return [outcomes[delivery] for delivery in deliveries]


def _outcome(given: object, source: str) -> list[ArvoEvent] | Exception:
    if type(given) is list and not given:
        return given
    if isinstance(given, Exception):
        return given
    try:
        return checked(given, source)
    except TypeError as error:
        return error


@contextmanager
def _span(source: str, events: Sequence[ArvoEvent]) -> Iterator[None]:
    """Open a span with a link to the span of each event; errors are put on it."""
    with _TRACER.start_as_current_span(
        f"Batch.{source}",
        kind=SpanKind.CONSUMER,
        attributes={"arvo.handler.source": source, "messaging.batch.message_count": len(events)},
    ) as span:
        if span.is_recording():
            for event in events:
                linked = trace.get_current_span(event_context(event)).get_span_context()
                if linked.is_valid:
                    span.add_link(linked, {"cloudevents.event_id": event.id})
        yield
