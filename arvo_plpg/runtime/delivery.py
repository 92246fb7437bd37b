"""Delivery: one claimed event, and what its handler makes of it until it is settled."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from arvo_plpg.current import CURRENT
from arvo_plpg.error_record import ErrorRecord
from arvo_plpg.errors import ForeignSubject, VersionConflict
from arvo_plpg.event import ArvoEvent, read_event
from arvo_plpg.jsonb import as_json
from arvo_plpg.machine_memory import MemoryMetadata, StateRecord
from arvo_plpg.trace_context import traceparent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.trace import SpanContext

    from arvo_plpg.runtime.loaders import Unread


class Delivery:
    """One claimed event.

    Attributes:
        lease: fencing token of its lease.
        number: number of the delivery.
        queue: the queue it comes from.
        attempt: which attempt this is, from 1.
        text: the event as it came; None if there was none.
        cause: why it is delivered again, if it is.
        expire_in: seconds that its handler may run.
        state: state of the event's subject, for stateful handlers.
        key: key of the ordered queue; None in any other.
        next: the delivery of the same key that came behind it, in the same claim.
        written: the state that goes with the settlement, if the handler wrote one.
        finished: whether the handler said that the workflow is over.
        has_turn: whether it is this delivery's turn to write the state of its subject.
        asked_at: when the claim was sent: its lease lasts from then on, at the least.
        arrived: when the answer came.
        started: when its handler began; None before that.
        span: the span of its run, where there is one.
    """

    __slots__ = (
        "_event",
        "_flat",
        "arrived",
        "asked_at",
        "attempt",
        "cause",
        "expire_in",
        "finished",
        "has_turn",
        "key",
        "lease",
        "next",
        "number",
        "queue",
        "span",
        "started",
        "state",
        "text",
        "written",
    )

    def __init__(  # noqa: PLR0917 - one for each delivery, so it is to be quick
        self,
        lease: int,
        number: int,
        queue: str,
        attempt: int,
        text: Unread | None,
        cause: Mapping[str, Any] | None,
        expire_in: float,
        state: StateRecord | None,
        key: int | None,
        arrived: float,
        asked_at: float,
    ) -> None:
        self.lease = lease
        self.number = number
        self.queue = queue
        self.attempt = attempt
        self.text = text
        self.cause = cause
        self.expire_in = expire_in
        self.state = state
        self.key = key
        self.arrived = arrived
        self.asked_at = asked_at
        self.next: Delivery | None = None
        self.written: StateRecord | None = None
        self.finished = False
        self.has_turn = False
        self.started: float | None = None
        self.span: SpanContext | None = None
        self._event: ArvoEvent | None = None
        self._flat: dict[str, Any] | None = None

    @property
    def event(self) -> ArvoEvent:
        """The event. It is built when it is first asked for.

        Raises:
            KeyError: the database gave an event without what every event has.
        """
        event = self._event
        if event is None:
            flat = self._flat
            self._event = event = (
                ArvoEvent.from_trusted_dict(flat) if flat else read_event(self._read())
            )
        return event

    @property
    def flat(self) -> dict[str, Any]:
        """The event as a JSON object, whatever is wrong with it."""
        if self._flat is None:
            self._flat = self._read()
        return self._flat

    def _read(self) -> dict[str, Any]:
        text = self.text
        flat: dict[str, Any] = {} if text is None else text.read()
        return flat

    def forget(self) -> None:
        """Let go of what was read from its text: it has run, and is to be settled only."""
        self._event = self._flat = None

    @property
    def event_id(self) -> str:
        """The id of the event, whatever else is wrong with it."""
        return str(self.flat.get("id", ""))

    @property
    def subject(self) -> str:
        """The subject of the event, whatever else is wrong with it."""
        return str(self.flat.get("subject", ""))

    @property
    def last(self) -> Delivery:
        """The last of those that came behind it, or itself."""
        found = self
        while found.next is not None:
            found = found.next
        return found

    @property
    def headers(self) -> tuple[str, str | None] | None:
        """The event's traceparent and tracestate, as they came; None without."""
        found = self.flat.get("traceparent")
        return (str(found), self.flat.get("tracestate")) if found else None

    def remaining(self) -> float:
        """Seconds until the handler is cancelled; negative when it is overdue."""
        started = time.monotonic() if self.started is None else self.started
        return started + self.expire_in - time.monotonic()

    def pass_on(self) -> Delivery | None:
        """Give the next one of its key, with the state that this one, which completed, left."""
        following = self.next
        if following is not None:
            following.state = self.written or self.state or following.state
        return following

    def completed(
        self, events: Sequence[ArvoEvent], state: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Give the result of a handler that returned."""
        result = self._result("completed")
        if events:
            result["events"] = [self._caused(event.to_dict()) for event in events]
        if state is not None:
            result["state"] = state
        return result

    def failed(self, error: BaseException) -> dict[str, Any]:
        """Give the result of a handler that raised."""
        return self.failed_with(ErrorRecord.of(error))

    def failed_with(self, record: ErrorRecord) -> dict[str, Any]:
        """Give the result of a handler that raised what is written down already."""
        error = record.to_dict()
        if self.span is not None:
            error["traceparent"] = traceparent(self.span)  # the next attempt links to it
        return self._result("failed") | {"error": error}

    def released(self) -> dict[str, Any]:
        """Give the result of a delivery that goes back without its attempt being charged."""
        return self._result("released")

    def _caused(self, emitted: dict[str, Any]) -> dict[str, Any]:
        """Let what was emitted without a trace of its own belong to that of its cause."""
        if emitted.get("traceparent") is None and (headers := self.headers) is not None:
            emitted["traceparent"], emitted["tracestate"] = headers
        return emitted

    def _result(self, outcome: str) -> dict[str, Any]:
        result: dict[str, Any] = {
            "lease": self.lease,
            "delivery": self.number,
            "outcome": outcome,
        }
        if self.started is not None:
            result["run_time"] = int((time.monotonic() - self.started) * 1_000_000)
        return result


begin = CURRENT.set
"""Let :func:`current_delivery` tell of this one, or of this batch, in this context."""


def current_delivery() -> Delivery | None:
    """Give the delivery that the running handler works on; None outside a worker.

    Its ``attempt``, ``cause`` and ``remaining()`` seconds are of use to handlers. None in a batch
    handler, too: see :func:`current_deliveries`.
    """
    current = CURRENT.get()
    return current if isinstance(current, Delivery) else None


def current_deliveries() -> tuple[Delivery, ...]:
    """Give the deliveries that the running batch handler works on, in the order of its events."""
    current = CURRENT.get()
    return (current,) if isinstance(current, Delivery) else current


class DeliveryMemory:
    """The memory of one step: read from the claim, written with the settlement.

    The subject is the delivery's alone: ``lock`` and ``unlock`` have nothing to do, and a write is
    held back until the step is settled, in the same transaction as the events that it emits. If the
    state has moved on meanwhile, the delivery runs again and nothing of this step takes effect.
    """

    commits_with_events = True

    def __init__(self, delivery: Delivery) -> None:
        self._subject = delivery.subject
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
