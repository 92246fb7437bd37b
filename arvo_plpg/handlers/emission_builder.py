"""EmissionBuilder: turns the wishes of a workflow into events (table in section 4.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from arvo_plpg.contract import VersionedContract, VersionedOrchestratorContract
from arvo_plpg.domain import ArvoDomain, resolve_event_domains
from arvo_plpg.event import ArvoEvent, create_arvo_event
from arvo_plpg.model_error import InvalidSubjectError, ModelError
from arvo_plpg.payload import PARENT_SUBJECT, Schema, SchemaMismatchError, plain
from arvo_plpg.subject import ArvoOrchestrationSubject, SubjectContent
from arvo_plpg.violation import ContractViolation, ExecutionViolation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arvo_plpg.handlers.emission import Emission
    from arvo_plpg.handlers.service_contracts import ServiceContracts
    from arvo_plpg.trace_context import TraceHeaders


@dataclass(frozen=True, slots=True, kw_only=True)
class EmissionDomains:
    """Default domains of a workflow's events, as symbols of ArvoDomain or domains.

    Attributes:
        emit: of events to services.
        complete: of the completion event.
        system_error: of error events.
    """

    emit: Sequence[str | None] = (ArvoDomain.LOCAL,)
    complete: Sequence[str | None] = (ArvoDomain.ORCHESTRATION_CONTEXT,)
    system_error: Sequence[str | None] = (ArvoDomain.ORCHESTRATION_CONTEXT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmissionBuilder:
    """Builds the events of one step.

    Attributes:
        source: the workflow's handler.
        contracts: own and services'.
        event: the consumed event.
        subject: content of its subject.
        parent_subject: subject of the parent workflow.
        init_event_id: id of the event that started the workflow.
        executionunits: default cost.
        domains: default domains.
        headers: trace headers of the step.
    """

    source: str
    contracts: ServiceContracts
    event: ArvoEvent
    subject: SubjectContent
    parent_subject: str | None
    init_event_id: str
    executionunits: float
    domains: EmissionDomains
    headers: TraceHeaders

    def build(self, emissions: Sequence[Emission[Any]]) -> list[ArvoEvent]:
        """Build one event for each emission and each distinct domain.

        Raises:
            ContractViolation: data or a field does not fit.
            ExecutionViolation: the parent subject of a child workflow is none.
        """
        return [event for emission in emissions for event in self._build(emission)]

    def _build(self, emission: Emission[Any]) -> list[ArvoEvent]:
        own = self.contracts.own
        if emission.type == own.complete.type:
            return self._completion(emission, own)
        service = self.contracts.accepting(emission.type)
        domains = self._resolve(emission, self.domains.emit, service)
        if service is None:
            data = emission.data
            return [
                self._event(emission, data, emission.dataschema, self.event.subject, domain)
                for domain in domains
            ]
        if isinstance(service, VersionedOrchestratorContract):
            emission = self._of_this_parent(emission)
        applied = self._applied(emission, service.accepts.schema)
        return [
            self._event(
                emission,
                applied,
                service.dataschema,
                self._service_subject(emission, service, applied, domain),
                domain,
            )
            for domain in domains
        ]

    def _of_this_parent(self, emission: Emission[Any]) -> Emission[Any]:
        """A model that does not name a parent starts a child of this workflow."""
        if not isinstance(emission.data, BaseModel):
            return emission
        return replace(emission, data={PARENT_SUBJECT: self.event.subject, **plain(emission.data)})

    def _completion(
        self, emission: Emission[Any], own: VersionedOrchestratorContract[Any, Any]
    ) -> list[ArvoEvent]:
        data = self._applied(emission, own.complete.schema)
        subject = self.parent_subject or self.event.subject
        return [
            self._event(emission, data, own.dataschema, subject, domain, completes=True)
            for domain in self._resolve(emission, self.domains.complete, own)
        ]

    def _service_subject(
        self,
        emission: Emission[Any],
        service: VersionedContract[Any, Any],
        data: Mapping[str, Any],
        domain: str | None,
    ) -> str:
        if not isinstance(service, VersionedOrchestratorContract):
            return self.event.subject
        parent = data[PARENT_SUBJECT]
        meta = {"redirectto": emission.redirectto or self.source}
        try:
            if parent is None:
                return ArvoOrchestrationSubject.new(
                    orchestrator=service.accepts.type,
                    version=service.version,
                    initiator=self.source,
                    domain=domain,
                    meta=meta,
                )
            return ArvoOrchestrationSubject.from_parent(
                orchestrator=service.accepts.type,
                version=service.version,
                subject=parent,
                domain=domain,
                meta=meta,
            )
        except InvalidSubjectError as error:
            raise ExecutionViolation(
                f"Invalid {PARENT_SUBJECT} for event (type='{emission.type}'): {error}"
            ) from error

    def _applied(self, emission: Emission[Any], schema: Schema) -> dict[str, Any]:
        try:
            return schema.apply(emission.data)
        except SchemaMismatchError as error:
            raise ContractViolation(
                f"Invalid event data (type='{emission.type}'): {error}"
            ) from error

    def _resolve(
        self,
        emission: Emission[Any],
        default: Sequence[str | None],
        contract: VersionedContract[Any, Any] | None,
    ) -> list[str | None]:
        return resolve_event_domains(
            default if emission.domain is None else emission.domain,
            triggering_event=self.event,
            self_domain=self.contracts.own.domain,
            event_domain=None if contract is None else contract.domain,
            parent_subject=self.parent_subject,
        )

    def _event(
        self,
        emission: Emission[Any],
        data: Any,  # noqa: ANN401 - checked when the event is made
        dataschema: str | None,
        subject: str,
        domain: str | None,
        *,
        completes: bool = False,
    ) -> ArvoEvent:
        home = self.subject.meta.get("redirectto") or self.subject.execution.initiator
        units = self.executionunits if emission.executionunits is None else emission.executionunits
        try:
            return create_arvo_event(
                id=emission.id,
                source=self.source,
                type=emission.type,
                subject=subject,
                dataschema=dataschema,
                data=data,
                time=emission.time,
                to=emission.to or (home if completes else emission.type),
                redirectto=emission.redirectto or self.source,
                parentid=self.init_event_id if completes else self.event.id,
                accesscontrol=emission.accesscontrol or self.event.accesscontrol,
                executionunits=units,
                traceparent=self.headers.traceparent,
                tracestate=self.headers.tracestate,
                domain=domain,
                extensions=emission.extensions,
            )
        except ModelError as error:
            raise ContractViolation(
                f"Event creation failed (type='{emission.type}'): {error}"
            ) from error
