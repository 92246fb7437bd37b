"""ArvoEventHandler: a stateless handler (section 4.2 of the semantics)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias

from opentelemetry.trace import SpanKind
from pydantic import BaseModel
from typing_extensions import TypeVar

from arvo_plpg.dataschema import parse_dataschema
from arvo_plpg.domain import ArvoDomain, resolve_event_domains
from arvo_plpg.event_factory import create_arvo_event_factory
from arvo_plpg.handlers.callback import call
from arvo_plpg.handlers.emission import Emission
from arvo_plpg.handlers.handler_span import InheritFrom, handler_span, record_outcome, warn
from arvo_plpg.handlers.version_handler import VersionHandler, functions_by_version
from arvo_plpg.model_error import InvalidContractError, ModelError
from arvo_plpg.payload import SchemaMismatchError
from arvo_plpg.trace_context import TraceHeaders, span_headers
from arvo_plpg.violation import ConfigViolation, ContractViolation, is_violation_error

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from arvo_plpg.contract import ArvoContract, SystemErrorSchema, VersionedContract
    from arvo_plpg.event import ArvoEvent

_LOG = logging.getLogger(__name__)
_Payload_co = TypeVar("_Payload_co", covariant=True, default=Any)
_Out = TypeVar("_Out")


@dataclass(frozen=True, kw_only=True)  # no slots, as in Emission
class HandlerContext(Generic[_Payload_co]):
    """What the function of a stateless handler gets.

    Attributes:
        event: the consumed event.
        payload: its data as the contract's schema parsed it, usually a pydantic model.
        source: the handler's source.
        contract: the version of the contract that the event follows.
        self_domain: the domain of the contract.
        event_domain: the domain of the event.
        span: the span of this execution.
        headers: W3C headers of that span, for calls to other services.
    """

    event: ArvoEvent
    payload: _Payload_co
    source: str
    contract: VersionedContract[Any, Any]
    self_domain: str | None
    event_domain: str | None
    span: Span
    headers: TraceHeaders


Reply: TypeAlias = _Out | Emission[_Out] | Sequence[_Out | Emission[_Out]] | None
"""What the function of a version returns that emits the model ``_Out``."""

HandlerResult = Emission[Any] | BaseModel | Sequence[Emission[Any] | BaseModel] | None
HandlerFunction = Callable[[HandlerContext[Any]], Awaitable[HandlerResult] | HandlerResult]

ORCHESTRATION_CONTEXT_ONLY: tuple[str | None, ...] = (ArvoDomain.ORCHESTRATION_CONTEXT,)


class ArvoEventHandler:
    """A stateless handler. Make one by :func:`create_arvo_event_handler`.

    Attributes:
        contract: its contract.
        executionunits: default cost of what it emits.
    """

    stateful: Literal[False] = False

    def __init__(
        self,
        *,
        contract: ArvoContract,
        handler: Mapping[str, HandlerFunction] | Sequence[VersionHandler[HandlerContext[Any], Any]],
        executionunits: float,
        emit_domains: Sequence[str | None],
        error_domains: Sequence[str | None],
        span_name: str | None,
    ) -> None:
        functions = functions_by_version(contract, handler)
        missing = [version for version in contract.sorted_versions if version not in functions]
        if missing:
            raise InvalidContractError(
                f"Contract {contract.uri} requires handler implementation for version "
                f"{', '.join(missing)}"
            )
        unknown = [version for version in functions if version not in contract.versions]
        if unknown:
            raise InvalidContractError(
                f"Contract {contract.uri} has no version {', '.join(unknown)}; "
                "remove the functions or add the versions"
            )
        self.contract = contract
        self.executionunits = executionunits
        self._functions: dict[str, HandlerFunction] = functions
        self._emit_domains = emit_domains
        self._error_domains = error_domains
        self._span_name = span_name or f"Handler<{contract.uri}>"

    @property
    def source(self) -> str:
        """The routing key: the contract's type."""
        return self.contract.type

    @property
    def system_error(self) -> SystemErrorSchema:
        """The error event that it may emit."""
        return self.contract.system_error

    async def execute(
        self, event: ArvoEvent, *, inherit_from: InheritFrom = "EVENT"
    ) -> list[ArvoEvent]:
        """Handle one event.

        Errors of the function become a ``sys.*.error`` event to the event's source.

        Raises:
            ConfigViolation: the event's type or contract version is not ours.
            ContractViolation: the event, or what the function made, does not fit the contract.
            ViolationError: whatever violation the function raised.
        """
        with handler_span(
            self._span_name,
            event,
            kind=SpanKind.CONSUMER,
            inherit_from=inherit_from,
            attributes={
                "arvo.span.kind": "handler.simple",
                "openinference.span.kind": "CHAIN",
                "arvo.handler.source": self.source,
                "arvo.contract.uri": self.contract.uri,
                "arvo.handler.execution.type": "handler",
                "arvo.handler.execution.status": "normal",
            },
        ) as span:
            try:
                events = await self._run(event, span)
            except Exception as error:
                if is_violation_error(error):
                    raise
                span.record_exception(error)
                events = self._error_events(event, error, span_headers(span))
                record_outcome(span, "error", events)
            else:
                record_outcome(span, "success", events)
            return events

    async def _run(self, event: ArvoEvent, span: Span) -> list[ArvoEvent]:
        contract = self._version_of(event, span)
        span.set_attribute("arvo.contract.version", contract.version)
        try:
            payload = contract.accepts.schema.parse(event.data)
        except SchemaMismatchError as error:
            raise ContractViolation(f"Input event payload validation failed: {error}") from error
        headers = span_headers(span)
        result = await call(
            self._functions[contract.version],
            HandlerContext(
                event=event,
                payload=payload,
                source=self.source,
                contract=contract,
                self_domain=self.contract.domain,
                event_domain=event.domain,
                span=span,
                headers=headers,
            ),
        )
        emissions = _as_list(result, contract)
        return [
            built
            for emission in emissions
            for built in self._emit(emission, event, contract, headers)
        ]

    def _version_of(self, event: ArvoEvent, span: Span) -> VersionedContract[Any, Any]:
        if event.type != self.contract.type:
            raise ConfigViolation(
                f"Event type mismatch: Received '{event.type}', expected '{self.contract.type}'"
            )
        schema = parse_dataschema(event.dataschema)
        if schema is None:
            text = f"event {event.id!r} has no usable dataschema; the latest version is used"
            warn(span, text)
            _LOG.warning(text)
            return self.contract.version("latest")
        if schema.uri != self.contract.uri:
            raise ContractViolation(
                f"Contract URI mismatch: Handler expects '{self.contract.uri}' but event "
                f"dataschema specifies '{event.dataschema}'. Events must reference the same "
                "contract URI as their handler."
            )
        if schema.version not in self.contract.versions:
            raise ConfigViolation(
                f"Invalid contract version: {schema.version}. Available versions: "
                f"{', '.join(self.contract.sorted_versions)}"
            )
        return self.contract.versions[schema.version]

    def _domains(
        self, wished: Sequence[str | None] | None, default: Sequence[str | None], event: ArvoEvent
    ) -> list[str | None]:
        return resolve_event_domains(
            default if wished is None else wished,
            triggering_event=event,
            self_domain=self.contract.domain,
            event_domain=self.contract.domain,
            parent_subject=None,
        )

    def _emit(
        self,
        emission: Emission[Any],
        event: ArvoEvent,
        contract: VersionedContract[Any, Any],
        headers: TraceHeaders,
    ) -> list[ArvoEvent]:
        factory = create_arvo_event_factory(contract)
        units = self.executionunits if emission.executionunits is None else emission.executionunits
        try:
            return [
                factory.emits(
                    type=emission.type,
                    data=emission.data,
                    source=self.source,
                    subject=event.subject,
                    id=emission.id,
                    time=emission.time,
                    to=emission.to or event.redirectto or event.source,
                    redirectto=emission.redirectto,
                    parentid=event.id,
                    accesscontrol=emission.accesscontrol or event.accesscontrol,
                    executionunits=units,
                    traceparent=headers.traceparent,
                    tracestate=headers.tracestate,
                    domain=domain,
                    extensions=emission.extensions,
                )
                for domain in self._domains(emission.domain, self._emit_domains, event)
            ]
        except ModelError as error:
            raise ContractViolation(
                f"Emit validation failed for {emission.type!r}: {error}"
            ) from error

    def _error_events(
        self, event: ArvoEvent, error: Exception, headers: TraceHeaders
    ) -> list[ArvoEvent]:
        factory = create_arvo_event_factory(self.contract.version("latest"))
        return [
            factory.system_error(
                error=error,
                source=self.source,
                subject=event.subject,
                to=event.source,
                parentid=event.id,
                accesscontrol=event.accesscontrol,
                executionunits=self.executionunits,
                traceparent=headers.traceparent,
                tracestate=headers.tracestate,
                domain=domain,
            )
            for domain in self._domains(None, self._error_domains, event)
        ]


def _as_list(result: HandlerResult, contract: VersionedContract[Any, Any]) -> list[Emission[Any]]:
    if result is None:
        return []
    return [
        _typed(one, contract)
        for one in ([result] if isinstance(result, Emission | BaseModel) else result)
    ]


def _typed(one: Emission[Any] | BaseModel, contract: VersionedContract[Any, Any]) -> Emission[Any]:
    """Give an emission with its type: that of the model, if none is named."""
    if isinstance(one, BaseModel):
        one = Emission(data=one)
    if not isinstance(one, Emission):
        raise TypeError(
            f"a handler's function gives models or Emission objects, not {type(one).__name__}"
        )
    if one.type:
        return one
    named = contract.emitted_type(type(one.data))
    if named is None:
        raise ContractViolation(
            f"Emit validation failed: no single type of {contract.dataschema} has the model "
            f"{type(one.data).__name__}; name the type in an Emission"
        )
    return replace(one, type=named)


def create_arvo_event_handler(
    *,
    contract: ArvoContract,
    handler: Mapping[str, HandlerFunction] | Sequence[VersionHandler[HandlerContext[Any], Any]],
    executionunits: float = 0,
    emit_domains: Sequence[str | None] = ORCHESTRATION_CONTEXT_ONLY,
    error_domains: Sequence[str | None] = ORCHESTRATION_CONTEXT_ONLY,
    span_name: str | None = None,
) -> ArvoEventHandler:
    """Make a stateless handler.

    Args:
        contract: its contract.
        handler: a function for each version, ``async`` or plain; a plain one runs in a thread.
            By version, or a list of functions that were decorated by their versions.
        executionunits: default cost of what it emits.
        emit_domains: domains or symbols for what it emits.
        error_domains: domains or symbols for its error events.
        span_name: name of its spans; by default ``Handler<{uri}>``.

    Raises:
        InvalidContractError: a version has no function, or a function no version.
    """
    return ArvoEventHandler(
        contract=contract,
        handler=handler,
        executionunits=executionunits,
        emit_domains=emit_domains,
        error_domains=error_domains,
        span_name=span_name,
    )
