"""Event factories: events that keep their contract (section 3.4 of the semantics)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypedDict, Unpack, overload

from opentelemetry import trace
from typing_extensions import TypeVar

from arvo_plpg.contract import VersionedContract, VersionedOrchestratorContract
from arvo_plpg.error_record import ErrorRecord
from arvo_plpg.event import ArvoEvent, create_arvo_event
from arvo_plpg.model_error import InvalidContractError
from arvo_plpg.payload import PARENT_SUBJECT, EventData, Schema, SchemaMismatchError, plain
from arvo_plpg.subject import ArvoOrchestrationSubject

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Span

    from arvo_plpg.event_id import EventId

_TRACER = trace.get_tracer("arvo_plpg")

_In = TypeVar("_In", default=EventData)
_Out = TypeVar("_Out", default=EventData)


class EventFields(TypedDict, total=False):
    """What may be given for any event; what is not given takes the default of the factory."""

    subject: str | None
    to: str | None
    accesscontrol: str | None
    redirectto: str | None
    executionunits: float | None
    id: EventId | str | None
    time: str | None
    parentid: str | None
    domain: str | None
    traceparent: str | None
    tracestate: str | None
    extensions: Mapping[str, str | int | float | bool | None] | None


class ArvoEventFactory(Generic[_In, _Out]):
    """Makes the events of one version of a contract.

    Data are what the version accepts and emits, where a type checker can know it; see
    :class:`~arvo_plpg.VersionedContract`.

    An event without a subject starts a new workflow named after its type, initiated by its source,
    which must then have three dotted segments.
    """

    def __init__(self, contract: VersionedContract[_In, _Out]) -> None:
        self.contract = contract

    def accepts(self, *, source: str, data: _In, **fields: Unpack[EventFields]) -> ArvoEvent:
        """Make the event that the contract accepts.

        Raises:
            InvalidContractError: the data does not fit.
            InvalidEventError: a field breaks a rule of events.
        """
        accepts = self.contract.accepts
        with self._span("accepts", accepts.type):
            applied = _applied("Accept", accepts.schema, data)
            return self._event(accepts.type, applied, source, self.contract.dataschema, fields)

    def emits(
        self,
        *,
        type: str,  # noqa: A002 - the attribute's name
        source: str,
        data: _Out,
        **fields: Unpack[EventFields],
    ) -> ArvoEvent:
        """Make an event that the contract emits.

        Raises:
            InvalidContractError: the contract has no such type, or the data does not fit.
            InvalidEventError: a field breaks a rule of events.
        """
        with self._span("emits", type):
            schema = self.contract.emits.get(type)
            if schema is None:
                raise InvalidContractError(
                    f"Emit Event data validation failed: No contract available for {type}; "
                    f"{self.contract.dataschema} emits {', '.join(self.contract.emits)}"
                )
            applied = _applied("Emit", schema, data)
            return self._event(type, applied, source, self.contract.dataschema, fields)

    def system_error(
        self, *, source: str, error: BaseException, **fields: Unpack[EventFields]
    ) -> ArvoEvent:
        """Make the error event of the contract.

        Raises:
            InvalidEventError: a field breaks a rule of events.
        """
        system_error = self.contract.system_error
        with self._span("systemError", system_error.type):
            data = ErrorRecord.of(error).to_event_data()
            return self._event(system_error.type, data, source, system_error.dataschema, fields)

    def _event(
        self,
        type_: str,
        data: Mapping[str, Any],
        source: str,
        dataschema: str,
        fields: EventFields,
    ) -> ArvoEvent:
        subject = fields.get("subject")
        redirectto = fields.get("redirectto")
        if subject is None:
            subject = ArvoOrchestrationSubject.new(
                orchestrator=type_,
                version=self.contract.version,
                initiator=source,
                domain=fields.get("domain"),
                meta=None if redirectto is None else {"redirectto": redirectto},
            )
        given: dict[str, Any] = {**fields, "subject": subject}
        return create_arvo_event(
            source=source, type=type_, data=data, dataschema=dataschema, **given
        )

    def _span(self, method: str, type_: str) -> AbstractContextManager[Span]:
        return _TRACER.start_as_current_span(
            f"EventFactory.{method}<{type_}>",
            attributes={
                "arvo.span.kind": "internal",
                "openinference.span.kind": "INTERNAL",
                "arvo.contract.uri": self.contract.uri,
                "arvo.contract.version": self.contract.version,
            },
        )


class ArvoOrchestratorEventFactory(ArvoEventFactory[_In, _Out]):
    """Makes the events of one version of an orchestrator contract."""

    contract: VersionedOrchestratorContract[_In, _Out]

    def __init__(self, contract: VersionedOrchestratorContract[_In, _Out]) -> None:
        super().__init__(contract)

    def init(
        self,
        *,
        source: str,
        data: _In,
        parent_subject: str | None = None,
        **fields: Unpack[EventFields],
    ) -> ArvoEvent:
        """Make the event that starts the workflow.

        With a subject in ``parentSubject$$`` of the data, or in ``parent_subject``, the workflow is
        a child of that one; without, it is a root.

        Raises:
            InvalidContractError: the data does not fit.
            InvalidSubjectError: the parent is no orchestration subject.
            InvalidEventError: a field breaks a rule of events.
        """
        accepts = self.contract.accepts
        with self._span("init", accepts.type):
            applied = _applied("Init", accepts.schema, data, {PARENT_SUBJECT: parent_subject})
            parent = applied[PARENT_SUBJECT]
            if parent is not None and fields.get("subject") is None:
                origin = ArvoOrchestrationSubject.parse(parent)
                fields["subject"] = ArvoOrchestrationSubject.from_parent(
                    orchestrator=accepts.type,
                    version=self.contract.version,
                    subject=parent,
                    domain=fields.get("domain"),
                    meta={"redirectto": fields.get("redirectto") or origin.execution.initiator},
                )
            return self._event(accepts.type, applied, source, self.contract.dataschema, fields)

    def complete(self, *, source: str, data: _Out, **fields: Unpack[EventFields]) -> ArvoEvent:
        """Make the event that ends the workflow.

        Raises:
            InvalidContractError: the data does not fit.
            InvalidEventError: a field breaks a rule of events.
        """
        complete = self.contract.complete
        with self._span("complete", complete.type):
            applied = _applied("Emit", complete.schema, data)
            return self._event(complete.type, applied, source, self.contract.dataschema, fields)


@overload
def create_arvo_event_factory(
    contract: VersionedOrchestratorContract[_In, _Out],
) -> ArvoOrchestratorEventFactory[_In, _Out]: ...
@overload
def create_arvo_event_factory(
    contract: VersionedContract[_In, _Out],
) -> ArvoEventFactory[_In, _Out]: ...
def create_arvo_event_factory(contract: VersionedContract[Any, Any]) -> ArvoEventFactory[Any, Any]:
    """Make the factory of one version of a contract, such as ``contract.version("1.0.0")``."""
    if isinstance(contract, VersionedOrchestratorContract):
        return ArvoOrchestratorEventFactory(contract)
    return ArvoEventFactory(contract)


def _applied(
    role: str,
    schema: Schema,
    data: Any,  # noqa: ANN401 - of the version's types
    below: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    try:
        return schema.apply({**below, **plain(data)} if below else data)
    except SchemaMismatchError as error:
        raise InvalidContractError(f"{role} Event data validation failed: {error}") from error
