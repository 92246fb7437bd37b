"""Delivery: one claimed event, and what its handler makes of it until it is settled."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from arvo_plpg.error_record import ErrorRecord
from arvo_plpg.errors import ForeignSubject, VersionConflict
from arvo_plpg.machine_memory import MemoryMetadata, StateRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arvo_plpg.event import ArvoEvent


@dataclass(slots=True)
class Delivery:
    """One claimed event.

    Attributes:
        lease: fencing token of its lease.
        number: number of the delivery.
        queue: the queue it comes from.
        attempt: which attempt this is, from 1.
        event: the event.
        cause: why it is delivered again, if it is.
        deadline: when its handler is cancelled, on this process's monotonic clock in seconds.
        state: state of the event's subject, for stateful handlers.
    """

    lease: int
    number: int
    queue: str
    attempt: int
    event: ArvoEvent
    cause: Mapping[str, Any] | None
    deadline: float
    state: StateRecord | None = None
    started: float = field(default_factory=time.monotonic)

    def remaining(self) -> float:
        """Seconds until the handler is cancelled; negative when it is overdue."""
        return self.deadline - time.monotonic()

    def completed(
        self, events: Sequence[ArvoEvent], state: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Give the result of a handler that returned."""
        result = self._result("completed")
        if events:
            result["events"] = [event.to_dict() for event in events]
        if state is not None:
            result["state"] = state
        return result

    def failed(self, error: BaseException) -> dict[str, Any]:
        """Give the result of a handler that raised."""
        return self._result("failed") | {"error": ErrorRecord.of(error).to_dict()}

    def released(self) -> dict[str, Any]:
        """Give the result of a delivery that goes back without its attempt being charged."""
        return self._result("released")

    def _result(self, outcome: str) -> dict[str, Any]:
        return {
            "lease": self.lease,
            "delivery": self.number,
            "outcome": outcome,
            "run_time": int((time.monotonic() - self.started) * 1_000_000),
        }


class DeliveryMemory:
    """The memory of one step: read from the claim, written with the settlement.

    The subject is the delivery's alone: ``lock`` and ``unlock`` have nothing to do, and a write is
    held back until the step is settled, in the same transaction as the events that it emits. If the
    state has moved on meanwhile, the delivery runs again and nothing of this step takes effect.
    """

    commits_with_events = True

    def __init__(self, delivery: Delivery) -> None:
        self._subject = delivery.event.subject
        self._read = delivery.state
        self.state: StateRecord | None = delivery.state
        self._metadata: MemoryMetadata | None = None

    async def read(self, subject: str) -> StateRecord | None:
        """Give the state that came with the claim."""
        self._check(subject)
        return self.state

    async def write(
        self,
        subject: str,
        data: Mapping[str, Any],
        previous: StateRecord | None,
        metadata: MemoryMetadata,
    ) -> None:
        """Hold the state back until the settlement."""
        self._check(subject)
        based_on = previous.version if previous else 0
        current = self.state.version if self.state else 0
        if based_on != current:
            raise VersionConflict(
                "version mismatch: the state has moved on",
                detail=f"the write is based on version {based_on}, the state is at {current}",
                hint="Write what was read in this step.",
            )
        self.state = StateRecord(data, version=(self._read.version if self._read else 0) + 1)
        self._metadata = metadata

    async def lock(self, subject: str) -> bool:
        """Say yes: the delivery's lease covers its subject."""
        self._check(subject)
        return True

    async def unlock(self, subject: str) -> bool:
        """Say yes: the lease ends with the settlement."""
        self._check(subject)
        return True

    async def cleanup(self, subject: str) -> None:
        """Keep the state: it must outlive the completion event."""
        self._check(subject)

    def held_back(self) -> dict[str, Any] | None:
        """Give the write that goes with the settlement, if there is one."""
        if self._metadata is None or self.state is None:
            return None
        return {
            "subject": self._subject,
            "data": dict(self.state),
            "expected_version": self._read.version if self._read else 0,
            "parent_subject": self._metadata.parent_subject,
            "initiator": self._metadata.initiator,
            "source": self._metadata.source,
        }

    def _check(self, subject: str) -> None:
        if subject != self._subject:
            raise ForeignSubject(
                "a step may only touch the state of its own subject",
                detail=f"asked for {subject[:80]!a}",
                hint="Emit an event to the workflow of that subject instead.",
            )
