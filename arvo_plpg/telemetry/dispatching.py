"""Dispatching: what a dispatch tells, to whoever wants to know."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from arvo_plpg.event import ArvoEvent
from arvo_plpg.telemetry import metrics
from arvo_plpg.telemetry.observer import dispatched
from arvo_plpg.telemetry.spans import dispatch_span, tracing
from arvo_plpg.trace_context import span_headers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from opentelemetry.trace import Span

    from arvo_plpg.rows import Dispatched

    Dispatch = Callable[[Sequence[ArvoEvent]], Awaitable[list[Dispatched]]]


async def watched(events: Sequence[ArvoEvent], dispatch: Dispatch) -> list[Dispatched]:
    """Dispatch events, in a span and with figures if anybody wants them.

    An event that has no trace headers takes those of the span.

    Raises:
        ArvoError: whatever ``dispatch`` raises.
        psycopg.Error: likewise.
    """
    if not tracing():
        return await _counted(events, dispatch)
    with dispatch_span(events) as span:
        answers = await _counted([_with_headers(event, span) for event in events], dispatch)
        if len(answers) == 1:
            span.set_attribute("arvo.outcome", answers[0].outcome)
        return answers


async def _counted(events: Sequence[ArvoEvent], dispatch: Dispatch) -> list[Dispatched]:
    if not metrics.sinks():
        return await dispatch(events)
    began = time.time_ns()
    try:
        answers = await dispatch(events)
    except Exception as error:
        dispatched(Counter(), began, error)
        raise
    dispatched(Counter((answer.queue, answer.outcome) for answer in answers), began)
    return answers


def _with_headers(event: ArvoEvent, span: Span) -> ArvoEvent:
    if event.traceparent is not None:
        return event
    headers = span_headers(span)
    if headers.traceparent is None:
        return event
    return ArvoEvent.from_trusted_dict(
        event.to_dict() | {"traceparent": headers.traceparent, "tracestate": headers.tracestate}
    )
