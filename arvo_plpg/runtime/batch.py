"""Batch: several deliveries that a batch handler is given at once, each with its own outcome."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from arvo_plpg.runtime.delivery import begin
from arvo_plpg.runtime.emitted import checked
from arvo_plpg.telemetry.spans import batch_span, tracing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.handler import BatchHandler
    from arvo_plpg.runtime.delivery import Delivery


async def run_batch(
    handler: BatchHandler, deliveries: Sequence[Delivery]
) -> Sequence[list[ArvoEvent] | Exception] | None:
    """Let a handler have the events of some deliveries; give the outcome of each.

    None if all are completed and that is all, which is the usual case.

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
    with batch_span(handler.source, whole) if tracing() else nullcontext():
        given = await handler.execute_many(events) if events else []
    if not isinstance(given, list | tuple) or len(given) != len(whole):  # the events are its own
        told = f"{len(given)}" if isinstance(given, list | tuple) else type(given).__name__
        raise TypeError(
            f"{handler.source!a} must return a list with one outcome for each of {len(whole)} "
            f"events, not {told}"
        )
    if not outcomes and not any(given) and set(map(type, given)) <= {list}:
        return None
    outcomes.update(
        (delivery, _outcome(outcome, handler.source))
        for delivery, outcome in zip(whole, given, strict=True)
    )
    return [outcomes[delivery] for delivery in deliveries]


def _outcome(given: object, source: str) -> list[ArvoEvent] | Exception:
    if isinstance(given, Exception):
        return given
    try:
        return checked(given, source)
    except TypeError as error:
        return error
