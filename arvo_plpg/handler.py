"""Handler: what a worker runs.

A worker looks at three attributes. ``source`` is the routing key. ``stateful`` tells whether the
subject has to be locked and its state read when an event is claimed; if so, the worker passes a
memory bound to the delivery to :meth:`StatefulHandler.execute`. A handler that has ``execute_many``
is given many events at once: see :class:`BatchHandler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeGuard, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import TypeIs

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.machine_memory import MachineMemory


@runtime_checkable
class Handler(Protocol):
    """Anything that turns one event into others."""

    @property
    def source(self) -> str:
        """The routing key: events whose ``to`` is this text."""
        ...

    async def execute(self, event: ArvoEvent) -> list[ArvoEvent]:
        """Handle one event and give the events to emit; an exception means: deliver it again."""
        ...


@runtime_checkable
class StatefulHandler(Protocol):
    """A handler of workflows, whose state lives in a machine memory."""

    @property
    def source(self) -> str:
        """The routing key."""
        ...

    @property
    def stateful(self) -> Literal[True]:
        """The mark."""
        ...

    async def execute(
        self, event: ArvoEvent, *, memory: MachineMemory | None = None
    ) -> list[ArvoEvent]:
        """Handle one event; ``memory`` takes the place of the handler's own for this event."""
        ...


@runtime_checkable
class BatchHandler(Protocol):
    """A handler that takes many events at once, and tells what became of each."""

    @property
    def source(self) -> str:
        """The routing key."""
        ...

    async def execute_many(
        self, events: Sequence[ArvoEvent]
    ) -> Sequence[Sequence[ArvoEvent] | Exception]:
        """Handle some events, at most ``batch_size``; give one outcome for each, in their order.

        An outcome is a list of the events to emit, or an exception: that event alone has failed,
        and is delivered again. An exception that is raised means that each of them has failed.
        """
        ...


AnyHandler = Handler | StatefulHandler | BatchHandler


def is_batched(handler: AnyHandler) -> TypeIs[BatchHandler]:
    """Say whether a handler takes many events at once; it has ``execute_many``."""
    return hasattr(handler, "execute_many")


def is_stateful(handler: AnyHandler) -> TypeGuard[StatefulHandler]:
    """Say whether a handler needs its subject locked and its state read."""
    return getattr(handler, "stateful", False) is True
