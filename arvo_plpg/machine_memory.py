"""MachineMemory: what a stateful handler asks of the place that keeps its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping


class StateRecord(dict[str, Any]):
    """The state of one workflow, as last written.

    Attributes:
        version: the version that was read; the next write is based on it. It is kept beside the
            data, never in it.
    """

    __slots__ = ("version",)

    def __init__(self, data: Mapping[str, Any], *, version: int) -> None:
        super().__init__(data)
        self.version = version


@dataclass(frozen=True, slots=True)
class MemoryMetadata:
    """What is known about a workflow besides its state.

    Attributes:
        subject: the workflow.
        parent_subject: the workflow that started it, None at a root or when not known.
        initiator: source of who started it, None when not known.
        source: the handler that writes.
    """

    subject: str
    parent_subject: str | None
    initiator: str | None
    source: str


@runtime_checkable
class MachineMemory(Protocol):
    """Where stateful handlers keep their state. Strict on acquiring, tolerant on releasing."""

    @property
    def commits_with_events(self) -> bool:
        """Whether a write takes effect together with the events that the step emits, or not at all.

        If so, a step that was applied before has also emitted, and emits nothing again.
        """
        ...

    async def read(self, subject: str) -> StateRecord | None:
        """Give the state of a workflow, None if there is none. Raise only if reading failed."""
        ...

    async def write(
        self,
        subject: str,
        data: Mapping[str, Any],
        previous: StateRecord | None,
        metadata: MemoryMetadata,
    ) -> None:
        """Store a state, provided that ``previous`` is still the stored one (None: none yet).

        Raises if it is not, or if writing failed; never retries.
        """
        ...

    async def lock(self, subject: str) -> bool:
        """Try to have a workflow for oneself; false if another has it."""
        ...

    async def unlock(self, subject: str) -> bool:
        """Give a workflow free; harmless when it is not locked."""
        ...

    async def cleanup(self, subject: str) -> None:
        """Be told that a workflow has finished; may delete, archive or ignore."""
        ...
