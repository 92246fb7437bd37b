"""Route: a queue, and what this process does with its deliveries."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from arvo_plpg.errors import InvalidHandler
from arvo_plpg.event import ArvoEvent
from arvo_plpg.handler import is_batched, is_stateful
from arvo_plpg.options import HandlerOptions
from arvo_plpg.runtime.batch import run_batch
from arvo_plpg.runtime.delivery import Delivery, DeliveryMemory, begin
from arvo_plpg.runtime.emitted import checked
from arvo_plpg.runtime.thread import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from arvo_plpg.handler import AnyHandler, BatchHandler, Handler, StatefulHandler

    Listened = Sequence[ArvoEvent] | None
    Listener = Callable[[ArvoEvent], Awaitable[Listened] | Listened]

DOMAINS = "arvo.domain.*"
UNROUTABLE = "arvo.unroutable"

Result = dict[str, Any]
Outcome = list[ArvoEvent] | Exception
Run = Callable[[Delivery], Coroutine[Any, Any, Result | None]]
"""Run one delivery, and give the result to settle: None if it is completed and that is all."""
RunMany = Callable[[Sequence[Delivery]], Coroutine[Any, Any, Sequence[Outcome] | None]]
"""Run several, and give what each emits, or why it failed; None if all are plainly completed."""


@dataclass(frozen=True, slots=True)
class Route:
    """A queue and who runs its deliveries.

    Attributes:
        queue: name of the queue; a trailing ``*`` stands for all that begin so.
        run: runs one delivery.
        options: of the registration.
        stateful: whether claims bring the state of the subject.
        run_many: runs several at once; None if ``run`` is to be called with each.
    """

    queue: str
    run: Run
    options: HandlerOptions
    stateful: bool = False
    run_many: RunMany | None = None

    @property
    def width(self) -> int:
        """How many deliveries can run at the same time."""
        worker = self.options.worker
        return worker.concurrency * (worker.batch_size if self.run_many is not None else 1)

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
    """Make the route of a handler.

    Raises:
        InvalidHandler: it takes batches and is stateful.
    """
    if is_batched(handler):
        return _batch_route(handler, options)
    if is_stateful(handler):
        return _stateful_route(handler, options)
    return _route(handler, options)


def _batch_route(handler: BatchHandler, options: HandlerOptions) -> Route:
    if getattr(handler, "stateful", False):
        raise InvalidHandler(
            "a handler of batches cannot be stateful",
            detail=f"the handler of {handler.source!a} has execute_many, and is marked stateful",
            hint="Take the mark away, or handle one event at a time with execute.",
        )

    async def alone(delivery: Delivery) -> Result | None:
        raise NotImplementedError  # its slots run batches

    return Route(handler.source, alone, options, run_many=partial(run_batch, handler))


def _route(handler: Handler, options: HandlerOptions) -> Route:
    source = handler.source

    async def run(delivery: Delivery) -> Result | None:
        begin(delivery)
        events = await handler.execute(delivery.event)
        if type(events) is list and not events:
            return None
        return delivery.completed(checked(events, source))

    return Route(source, run, options)


def _stateful_route(handler: StatefulHandler, options: HandlerOptions) -> Route:
    source = handler.source

    async def run(delivery: Delivery) -> Result | None:
        begin(delivery)
        memory = DeliveryMemory(delivery)
        events = await handler.execute(delivery.event, memory=memory)
        result = delivery.completed(checked(events, source), memory.held_back())
        delivery.written, delivery.finished = memory.written, memory.finished
        return result

    return Route(source, run, options, stateful=True)


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

    async def run(delivery: Delivery) -> Result | None:
        begin(delivery)
        if is_async:
            answer = listener(delivery.event)
        else:
            answer = await in_thread(listener, delivery.event)
        if inspect.isawaitable(answer):
            answer = await answer
        return delivery.completed(checked(answer, queue)) if answer else None

    return Route(queue, run, options)
