"""Route: a queue, and what this process does with its deliveries."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from arvo_plpg.event import ArvoEvent
from arvo_plpg.handler import AnyHandler, is_stateful
from arvo_plpg.options import HandlerOptions
from arvo_plpg.runtime.delivery import Delivery, DeliveryMemory
from arvo_plpg.runtime.thread import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any

    Listened = Sequence[ArvoEvent] | None
    Listener = Callable[[ArvoEvent], Awaitable[Listened] | Listened]

DOMAINS = "arvo.domain.*"
UNROUTABLE = "arvo.unroutable"


class Run(Protocol):
    """What a route does with one delivery: run, and give the result to settle."""

    async def __call__(self, delivery: Delivery) -> dict[str, Any]:
        """Run it."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """A queue and who runs its deliveries.

    Attributes:
        queue: name of the queue; a trailing ``*`` stands for all that begin so.
        run: runs one delivery.
        options: of the registration.
        stateful: whether claims bring the state of the subject.
    """

    queue: str
    run: Run
    options: HandlerOptions
    stateful: bool = False

    @property
    def concrete(self) -> bool:
        """Whether it names one queue, which can be registered."""
        return not self.queue.endswith("*")

    def matches(self, queue: str) -> bool:
        """Whether deliveries of this queue are the route's."""
        return queue == self.queue if self.concrete else queue.startswith(self.queue[:-1])

    def narrowed(self, queue: str) -> Route | None:
        """Give the route for one queue of the many, None if it has no options to register."""
        if self.concrete or self.options == HandlerOptions():
            return None
        return replace(self, queue=queue)


def handler_route(handler: AnyHandler, options: HandlerOptions) -> Route:
    """Make the route of a handler."""

    async def run(delivery: Delivery) -> dict[str, Any]:
        if is_stateful(handler):
            memory = DeliveryMemory(delivery)
            events = await handler.execute(delivery.event, memory=memory)
            result = delivery.completed(_checked(events, handler.source), memory.held_back())
            delivery.written, delivery.finished = memory.written, memory.finished
            return result
        events = await handler.execute(delivery.event)
        return delivery.completed(_checked(events, handler.source))

    return Route(handler.source, run, options, stateful=is_stateful(handler))


def listener_route(
    queue: str,
    listener: Listener,
    options: HandlerOptions,
) -> Route:
    """Make the route of a listener: a function, plain or asynchronous, of one event.

    It may return events, which are emitted when the delivery is settled. A plain function runs in
    a thread.
    """
    is_async = inspect.iscoroutinefunction(listener) or inspect.iscoroutinefunction(
        getattr(listener, "__call__", None)  # noqa: B004 - an object with an async __call__
    )

    async def run(delivery: Delivery) -> dict[str, Any]:
        if is_async:
            answer = listener(delivery.event)
        else:
            answer = await in_thread(listener, delivery.event)
        if inspect.isawaitable(answer):
            answer = await answer
        return delivery.completed(_checked(answer or [], queue))

    return Route(queue, run, options)


def _checked(events: object, source: str) -> list[ArvoEvent]:
    if isinstance(events, list | tuple) and all(isinstance(event, ArvoEvent) for event in events):
        return list(events)
    raise TypeError(f"{source!a} must return a list of ArvoEvent, not {type(events).__name__}")
