"""Handler: what a worker runs.

A worker looks at two attributes. ``source`` is the routing key. ``stateful`` tells whether the
subject has to be locked and its state read when an event is claimed; if so, the worker passes a
memory bound to the delivery to :meth:`StatefulHandler.execute`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeGuard, runtime_checkable

if TYPE_CHECKING:
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


AnyHandler = Handler | StatefulHandler


def is_stateful(handler: AnyHandler) -> TypeGuard[StatefulHandler]:
    """Say whether a handler needs its subject locked and its state read."""
    return getattr(handler, "stateful", False) is True
