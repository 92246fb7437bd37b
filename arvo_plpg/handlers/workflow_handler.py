"""WorkflowHandler: what resumables and orchestrators have in common (section 4.4).

One execution: check the subject, lock, read, decide whether there is anything to do, run the step,
write, unlock, give the events. The events are not sent here.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from opentelemetry.trace import SpanKind

from arvo_plpg.domain import resolve_event_domains
from arvo_plpg.error_record import ErrorRecord
from arvo_plpg.event import ArvoEvent
from arvo_plpg.event_factory import create_arvo_event_factory
from arvo_plpg.handlers.emission_builder import EmissionBuilder, EmissionDomains
from arvo_plpg.handlers.handler_span import InheritFrom, handler_span, record_outcome, warn
from arvo_plpg.machine_memory import MachineMemory, MemoryMetadata, StateRecord
from arvo_plpg.model_error import InvalidSubjectError
from arvo_plpg.payload import PARENT_SUBJECT
from arvo_plpg.plain import plain
from arvo_plpg.subject import ArvoOrchestrationSubject, SubjectContent
from arvo_plpg.trace_context import TraceHeaders, span_headers
from arvo_plpg.violation import (
    ConfigViolation,
    ExecutionViolation,
    TransactionViolation,
    TransactionViolationCause,
    is_violation_error,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from opentelemetry.trace import Span

    from arvo_plpg.contract import ArvoOrchestratorContract, SystemErrorSchema
    from arvo_plpg.handlers.service_contracts import ServiceContracts

_LOG = logging.getLogger(__name__)
_Cause = TransactionViolationCause


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a workflow: a consumed event, and the state before it.

    Attributes:
        event: the consumed event.
        subject: content of its subject.
        state: the record that was read, None at the first step. Not to be changed.
        parent_subject: subject of the parent workflow.
        init_event_id: id of the event that started the workflow.
        span: the span of the execution.
        headers: W3C headers of that span.
    """

    event: ArvoEvent
    subject: SubjectContent
    state: StateRecord | None
    parent_subject: str | None
    init_event_id: str
    span: Span
    headers: TraceHeaders


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step led to: the record to write, the events to emit, whether the run is over."""

    record: Mapping[str, Any]
    events: list[ArvoEvent]
    finished: bool


@dataclass(slots=True)
class _Progress:
    """How far an execution came; the error branch needs to know."""

    subject: SubjectContent | None = None
    state: StateRecord | None = None
    parent_subject: str | None = None
    init_event_id: str | None = None


class WorkflowHandler(ABC):
    """Base of the stateful handlers.

    Attributes:
        contract: the workflow's contract; its type is the source.
        memory: where the state lives, unless :meth:`execute` is given another place.
        executionunits: default cost of what it emits.
        requires_resource_locking: whether the subject is locked around the step.
    """

    kind: ClassVar[str]
    stateful: Literal[True] = True

    def __init__(
        self,
        *,
        contract: ArvoOrchestratorContract,
        memory: MachineMemory | None,
        executionunits: float,
        requires_resource_locking: bool,
        domains: EmissionDomains,
        span_name: str | None,
    ) -> None:
        self.contract = contract
        self.memory = memory
        self.executionunits = executionunits
        self.requires_resource_locking = requires_resource_locking
        self._domains = domains
        self._span_name = span_name or f"{self.kind.title()}<{contract.uri}>@<{contract.type}>"

    @property
    def source(self) -> str:
        """The routing key: ``arvo.orc.{name}``."""
        return self.contract.type

    @property
    def system_error(self) -> SystemErrorSchema:
        """The error event that it may emit."""
        return self.contract.system_error

    @abstractmethod
    async def _run_step(self, step: Step) -> StepOutcome:
        """Do the work of one step."""

    async def execute(
        self,
        event: ArvoEvent,
        *,
        memory: MachineMemory | None = None,
        inherit_from: InheritFrom = "EVENT",
    ) -> list[ArvoEvent]:
        """Handle one event of a workflow and give the events to emit.

        A violation leaves the state as it is. Any other error ends the workflow: a failure record
        is written and a ``sys.*.error`` event goes to the initiator.

        Args:
            event: the event.
            memory: takes the place of the handler's own; a worker passes the one that is bound to
                the delivery.
            inherit_from: whose child the span is.

        Raises:
            ExecutionViolation: the subject is no orchestration subject.
            TransactionViolation: lock, read or write failed.
            ViolationError: whatever else calls for another delivery.
        """
        store = memory or self.memory
        if store is None:
            raise ConfigViolation(
                f"'{self.source}' has no memory; pass one to its constructor or to execute()"
            )
        with handler_span(
            self._span_name,
            event,
            kind=SpanKind.PRODUCER,
            inherit_from=inherit_from,
            attributes={
                "arvo.span.kind": f"handler.{self.kind}",
                "openinference.span.kind": "CHAIN",
                "arvo.handler.source": self.source,
                "arvo.contract.uri": self.contract.uri,
                "arvo.handler.execution.type": self.kind,
                "arvo.handler.execution.status": "normal",
            },
        ) as span:
            progress = _Progress()
            subject = self._subject_of(event)
            if subject.orchestrator.name != self.source:
                _ignore(
                    span,
                    event,
                    f"its subject is of '{subject.orchestrator.name}', not '{self.source}'",
                )
                return []
            progress.subject = subject
            async with self._locked(store, event, span):
                try:
                    events = await self._run(event, store, span, progress)
                except Exception as error:
                    if is_violation_error(error):
                        raise
                    span.record_exception(error)
                    events = await self._fail(event, error, store, span, progress)
                    record_outcome(span, "failure", events)
                else:
                    record_outcome(span, "success", events)
                return events

    async def _run(
        self, event: ArvoEvent, memory: MachineMemory, span: Span, progress: _Progress
    ) -> list[ArvoEvent]:
        subject = cast("SubjectContent", progress.subject)
        state = progress.state = await self._read(memory, event)
        starts = event.type == self.source
        reason = _reason_to_ignore(state, starts=starts, source=self.source)
        if reason:
            _ignore(span, event, reason)
            return []
        if state is not None and (again := _emitted_before(state, event)) is not None:
            if memory.commits_with_events:
                _ignore(
                    span, event, "it was applied before, and what it led to was emitted with it"
                )
                return []
            _ignore(span, event, "it was applied before; what it led to is emitted again")
            return again
        progress.parent_subject = state.get("parentSubject") if state else None
        if starts:
            parent = event.data.get(PARENT_SUBJECT)
            progress.parent_subject = parent if isinstance(parent, str) and parent else None
        progress.init_event_id = (state.get("initEventId") if state else None) or event.id
        outcome = await self._run_step(
            Step(
                event=event,
                subject=subject,
                state=state,
                parent_subject=progress.parent_subject,
                init_event_id=progress.init_event_id,
                span=span,
                headers=span_headers(span),
            )
        )
        await self._write(memory, event, outcome.record, progress)
        if outcome.finished:
            await self._cleanup(memory, event, span)
        return outcome.events

    async def _fail(
        self,
        event: ArvoEvent,
        error: Exception,
        memory: MachineMemory,
        span: Span,
        progress: _Progress,
    ) -> list[ArvoEvent]:
        """Write the failure record over the state that was read, and tell the initiator."""
        subject = cast("SubjectContent", progress.subject)
        record = {
            "executionStatus": "failure",
            "initEventId": progress.init_event_id,
            "parentSubject": progress.parent_subject,
            "subject": event.subject,
            "error": ErrorRecord.of(error).to_dict(),
        }
        await self._write(memory, event, record, progress)
        headers = span_headers(span)
        factory = create_arvo_event_factory(self.contract.version("latest"))
        return [
            factory.system_error(
                error=error,
                source=self.source,
                subject=progress.parent_subject or event.subject,
                to=subject.execution.initiator,
                parentid=progress.init_event_id or event.id,
                accesscontrol=event.accesscontrol,
                executionunits=self.executionunits,
                traceparent=headers.traceparent,
                tracestate=headers.tracestate,
                domain=domain,
            )
            for domain in resolve_event_domains(
                self._domains.system_error,
                triggering_event=event,
                self_domain=self.contract.domain,
                event_domain=self.contract.domain,
                parent_subject=progress.parent_subject,
            )
        ]

    def _builder(self, step: Step, contracts: ServiceContracts) -> EmissionBuilder:
        return EmissionBuilder(
            source=self.source,
            contracts=contracts,
            event=step.event,
            subject=step.subject,
            parent_subject=step.parent_subject,
            init_event_id=step.init_event_id,
            executionunits=self.executionunits,
            domains=self._domains,
            headers=step.headers,
        )

    def _subject_of(self, event: ArvoEvent) -> SubjectContent:
        try:
            return ArvoOrchestrationSubject.parse(event.subject)
        except InvalidSubjectError as error:
            raise ExecutionViolation(
                f"Invalid event (id={plain(event.id)}) subject format. Expected an "
                f"ArvoOrchestrationSubject but received '{event.subject}'. The subject must follow "
                "the format specified by ArvoOrchestrationSubject schema"
            ) from error

    @asynccontextmanager
    async def _locked(
        self, memory: MachineMemory, event: ArvoEvent, span: Span
    ) -> AsyncIterator[None]:
        if not self.requires_resource_locking:
            yield
            return
        try:
            acquired = await memory.lock(event.subject)
        except Exception as error:
            raise TransactionViolation(
                cause=_Cause.LOCK_MACHINE_MEMORY_FAILURE,
                message=f"Error acquiring lock for event (subject={event.subject}): {error}",
                initiating_event=event,
            ) from error
        if not acquired:
            raise TransactionViolation(
                cause=_Cause.LOCK_UNACQUIRED,
                message="Lock acquisition denied - Unable to obtain exclusive access to event "
                "processing",
                initiating_event=event,
            )
        try:
            yield
        finally:
            try:
                await memory.unlock(event.subject)
            except Exception as error:  # noqa: BLE001 - tolerant on release: the lock expires
                span.record_exception(error)
                _LOG.warning(
                    "unlocking %r failed, possible resource leak: %r", event.subject, error
                )

    async def _read(self, memory: MachineMemory, event: ArvoEvent) -> StateRecord | None:
        try:
            return await memory.read(event.subject)
        except Exception as error:
            if is_violation_error(error):
                raise
            raise TransactionViolation(
                cause=_Cause.READ_MACHINE_MEMORY_FAILURE,
                message=f"Error reading state for event (subject={event.subject}): {error}",
                initiating_event=event,
            ) from error

    async def _write(
        self,
        memory: MachineMemory,
        event: ArvoEvent,
        record: Mapping[str, Any],
        progress: _Progress,
    ) -> None:
        subject = cast("SubjectContent", progress.subject)
        metadata = MemoryMetadata(
            subject=event.subject,
            parent_subject=progress.parent_subject,
            initiator=subject.execution.initiator,
            source=self.source,
        )
        try:
            await memory.write(event.subject, record, progress.state, metadata)
        except Exception as error:
            if is_violation_error(error):
                raise
            raise TransactionViolation(
                cause=_Cause.WRITE_MACHINE_MEMORY_FAILURE,
                message=f"Error writing state for event (subject={event.subject}): {error}",
                initiating_event=event,
            ) from error

    async def _cleanup(self, memory: MachineMemory, event: ArvoEvent, span: Span) -> None:
        try:
            await memory.cleanup(event.subject)
        except Exception as error:  # noqa: BLE001 - the run has succeeded; its leftovers may stay
            span.record_exception(error)
            _LOG.warning("cleaning up %r failed: %r", event.subject, error)


def _reason_to_ignore(state: StateRecord | None, *, starts: bool, source: str) -> str | None:
    if state is None:
        return None if starts else f"there is no state, and it is not of the init type '{source}'"
    if state.get("executionStatus") == "failure":
        return "the workflow has failed before"
    return None


def _emitted_before(state: StateRecord, event: ArvoEvent) -> list[ArvoEvent] | None:
    """Give what the last step emitted, if it consumed this very event; None otherwise."""
    events = state.get("events") or {}
    consumed = events.get("consumed") or {}
    if consumed.get("id") != event.id or consumed.get("source") != event.source:
        return None
    return [ArvoEvent.from_trusted_dict(produced) for produced in events.get("produced") or ()]


def _ignore(span: Span, event: ArvoEvent, reason: str) -> None:
    text = f"event {event.id!r} of type {event.type} is not executed: {reason}"
    warn(span, text)
    _LOG.warning(text)
