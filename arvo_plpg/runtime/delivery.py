"""Delivery: one claimed event, and what its handler makes of it until it is settled."""

from __future__ import annotations

import json
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from arvo_plpg.error_record import ErrorRecord
from arvo_plpg.errors import ForeignSubject, VersionConflict
from arvo_plpg.jsonb import as_json
from arvo_plpg.machine_memory import MemoryMetadata, StateRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arvo_plpg.event import ArvoEvent

_CURRENT: ContextVar[Delivery | None] = ContextVar("arvo_plpg_delivery", default=None)


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
        expire_in: seconds that its handler may run.
        state: state of the event's subject, for stateful handlers.
        written: the state that goes with the settlement, if the handler wrote one.
        finished: whether the handler said that the workflow is over.
        has_turn: whether it is this delivery's turn to write the state of its subject.
    """

    lease: int
    number: int
    queue: str
    attempt: int
    event: ArvoEvent
    cause: Mapping[str, Any] | None
    expire_in: float
    state: StateRecord | None = None
    written: StateRecord | None = None
    finished: bool = False
    has_turn: bool = False
    started: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Let the handler's time run from now."""
        self.started = time.monotonic()
        _CURRENT.set(self)

    def remaining(self) -> float:
        """Seconds until the handler is cancelled; negative when it is overdue."""
        return self.started + self.expire_in - time.monotonic()

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


def current_delivery() -> Delivery | None:
    """Give the delivery that the running handler works on; None outside a worker.

    Its ``attempt``, ``cause`` and ``remaining()`` seconds are of use to handlers.
    """
    return _CURRENT.get()


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
        self.written: StateRecord | None = None
        self.finished = False
        self._metadata: MemoryMetadata | None = None

    async def read(self, subject: str) -> StateRecord | None:
        """Give the state that came with the claim, or what this step wrote."""
        self._check(subject)
        return self._current

    async def write(
        self,
        subject: str,
        data: Mapping[str, Any],
        previous: StateRecord | None,
        metadata: MemoryMetadata,
    ) -> None:
        """Hold the state back until the settlement.

        Raises:
            VersionConflict: ``previous`` is not what was read in this step.
            InvalidArgument: the data is not JSON that the database can keep.
        """
        self._check(subject)
        based_on = previous.version if previous is not None else 0
        current = self._current.version if self._current is not None else 0
        if based_on != current:
            raise VersionConflict(
                "version mismatch: the state has moved on",
                detail=f"the write is based on version {based_on}, the state is at {current}",
                hint="Write what was read in this step.",
            )
        # As the database would give it back, and out of reach of later changes by the handler.
        self.written = StateRecord(
            json.loads(as_json(dict(data), field="data")), version=self._base + 1
        )
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
        """Note that the workflow is over; its state must outlive the settlement of this step."""
        self._check(subject)
        self.finished = True

    def held_back(self) -> dict[str, Any] | None:
        """Give the write that goes with the settlement, if there is one."""
        if self._metadata is None or self.written is None:
            return None
        return {
            "subject": self._subject,
            "data": dict(self.written),
            "expected_version": self._base,
            "parent_subject": self._metadata.parent_subject,
            "initiator": self._metadata.initiator,
            "source": self._metadata.source,
        }

    @property
    def _base(self) -> int:
        return self._read.version if self._read is not None else 0

    @property
    def _current(self) -> StateRecord | None:
        return self.written if self.written is not None else self._read

    def _check(self, subject: str) -> None:
        if subject != self._subject:
            raise ForeignSubject(
                "a step may only touch the state of its own subject",
                detail=f"asked for {subject[:80]!a}",
                hint="Emit an event to the workflow of that subject instead.",
            )
