"""ArvoResumable: a workflow written as one function that is called for each event (section 4.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast

from pydantic import BaseModel
from typing_extensions import TypeVar

from arvo_plpg.dataschema import parse_dataschema
from arvo_plpg.event import ArvoEvent
from arvo_plpg.frozen import freeze, thaw
from arvo_plpg.handlers.callback import call
from arvo_plpg.handlers.emission import Emission
from arvo_plpg.handlers.emission_builder import EmissionDomains
from arvo_plpg.handlers.handler_span import link_answers
from arvo_plpg.handlers.service_contracts import ServiceContracts
from arvo_plpg.handlers.version_handler import VersionHandler, functions_by_version
from arvo_plpg.handlers.workflow_handler import Step, StepOutcome, WorkflowHandler
from arvo_plpg.model_error import InvalidContractError
from arvo_plpg.payload import EventData
from arvo_plpg.violation import ConfigViolation

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from arvo_plpg.contract import (
        ArvoOrchestratorContract,
        VersionedContract,
        VersionedOrchestratorContract,
    )
    from arvo_plpg.event_id import EventId
    from arvo_plpg.machine_memory import MachineMemory
    from arvo_plpg.trace_context import TraceHeaders

_Init_co = TypeVar("_Init_co", covariant=True, default=Any)
_Output_co = TypeVar("_Output_co", covariant=True, default=EventData)
_Answer = TypeVar("_Answer", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)  # no slots, as in Emission
class ResumableContext(Generic[_Init_co]):
    """What the function of a resumable gets.

    Attributes:
        context: what it returned as context before, a copy that may be changed; None at first.
        metadata: the whole state record, None at first; a copy.
        collected_events: answers to the events of the last emitting step, by type, in the order in
            which those events were emitted. Complete when :attr:`awaiting` is 0.
        awaiting: how many of those events have no answer yet.
        input: the init event, when it is this step's.
        service: the answer of a service, when it is this step's.
        contract: own contract, in the version that runs.
        services: the contracts of the services.
        self_domain: domain of the own contract.
        event_domain: domain of the consumed event.
        span: the span of this execution.
        headers: W3C headers of that span.
    """

    context: dict[str, Any] | None
    metadata: Mapping[str, Any] | None
    collected_events: Mapping[str, list[ArvoEvent]]
    awaiting: int
    input: ArvoEvent | None
    service: ArvoEvent | None
    contract: VersionedOrchestratorContract[Any, Any]
    services: Mapping[str, VersionedContract[Any, Any]]
    self_domain: str | None
    event_domain: str | None
    span: Span
    headers: TraceHeaders

    @property
    def payload(self) -> _Init_co | None:
        """The data of the init event, as the contract's schema parses it; None in later steps."""
        if self.input is None:
            return None
        return cast("_Init_co", self.contract.accepts.schema.parse(self.input.data))

    def answers(self, model: type[_Answer]) -> list[_Answer]:
        """The data of the collected events that a service emits as this model, as such models.

        Those of one type in the order in which the events were emitted that they answer. Errors of
        services are no such answers: see :attr:`collected_events`.

        Raises:
            TypeError: no service emits the model.
        """
        types = self._types_of(model)
        return [
            model.model_validate(thaw(event.data))
            for type_, events in self.collected_events.items()
            if type_ in types
            for event in events
        ]

    def answer(self, model: type[_Answer]) -> _Answer | None:
        """The data of the answer that this step consumes, if a service emits it as this model.

        Raises:
            TypeError: no service emits the model.
        """
        types = self._types_of(model)
        if self.service is None or self.service.type not in types:
            return None
        return model.model_validate(thaw(self.service.data))

    def _types_of(self, model: type[BaseModel]) -> set[str]:
        types = {
            type_
            for service in self.services.values()
            for type_, schema in service.emits.items()
            if schema.source is model
        }
        if not types:
            raise TypeError(f"no service emits the model {model.__name__}")
        return types


@dataclass(frozen=True, kw_only=True)
class Completion(Generic[_Output_co]):
    """The output of a workflow, with control over its event.

    Attributes:
        data: the output.
        id: see :class:`~arvo_plpg.event_id.EventId`.
        executionunits: by default the handler's.
        domain: domains or symbols of ArvoDomain.
    """

    data: _Output_co
    id: EventId | str | None = None
    executionunits: float | None = None
    domain: Sequence[str | None] | None = None


@dataclass(frozen=True, kw_only=True)
class ResumableResult(Generic[_Output_co]):
    """What the function of a resumable returns.

    Attributes:
        context: kept for the next step; None keeps the one before.
        output: ends the workflow.
        services: events to services: emissions, or models that a service accepts.
    """

    context: EventData | None = None
    output: _Output_co | Completion[_Output_co] | None = None
    services: Sequence[Emission[Any] | BaseModel] = field(default_factory=tuple)


ResumableFunction = Callable[
    [ResumableContext[Any]],
    Awaitable[ResumableResult[Any] | None] | ResumableResult[Any] | None,
]


class ArvoResumable(WorkflowHandler):
    """A resumable workflow. Make one by :func:`create_arvo_resumable`."""

    kind: ClassVar[str] = "resumable"

    def __init__(
        self,
        *,
        contract: ArvoOrchestratorContract,
        services: Mapping[str, VersionedContract[Any, Any]],
        handler: Mapping[str, ResumableFunction]
        | Sequence[VersionHandler[ResumableContext[Any], Any]],
        memory: MachineMemory | None,
        executionunits: float,
        requires_resource_locking: bool | None,
        domains: EmissionDomains,
        span_name: str | None,
    ) -> None:
        functions = functions_by_version(contract, handler)
        missing = [version for version in contract.sorted_versions if version not in functions]
        unknown = [version for version in functions if version not in contract.versions]
        if missing or unknown:
            raise InvalidContractError(
                f"Contract {contract.uri} and the functions given differ in versions: "
                f"without function {missing}, without contract {unknown}"
            )
        super().__init__(
            contract=contract,
            memory=memory,
            executionunits=executionunits,
            requires_resource_locking=(
                len(services) > 1
                if requires_resource_locking is None
                else requires_resource_locking
            ),
            domains=domains,
            span_name=span_name,
        )
        self._functions: dict[str, ResumableFunction] = functions
        self._contracts = {
            version: ServiceContracts(contract.version(version), services)
            for version in contract.sorted_versions
        }

    async def _run_step(self, step: Step) -> StepOutcome:
        version = step.subject.orchestrator.version
        function = self._functions.get(version)
        if function is None:
            raise ConfigViolation(
                f"No handler found for resumable '{self.source}' version {version}; it has "
                f"{', '.join(self._functions)}"
            )
        step.span.set_attribute("arvo.contract.version", version)
        contracts = self._contracts[version]
        self._checking(step.event, contracts).check_input(step.event)
        previous = step.state
        if previous is not None and previous.get("status") == "done":
            return StepOutcome(thaw(previous), [], finished=True)
        expected = _with_answer(previous, step.event)
        starts = step.event.type == self.source
        asked = _asked(previous, expected)
        collected = [answer for number in asked for answer in (expected or {})[number]]
        link_answers(step.span, step.event, collected)
        result = await call(
            function,
            ResumableContext(
                context=thaw(previous.get("state$$")) if previous else None,
                metadata=thaw(previous) if previous else None,
                collected_events=_by_type(collected),
                awaiting=sum(not answers for answers in (expected or {}).values()),
                input=step.event if starts else None,
                service=None if starts else step.event,
                contract=contracts.own,
                services=contracts.services,
                self_domain=self.contract.domain,
                event_domain=step.event.domain,
                span=step.span,
                headers=step.headers,
            ),
        )
        if result is not None and not isinstance(result, ResumableResult):
            raise TypeError(f"a resumable returns ResumableResult, not {type(result).__name__}")
        events = self._builder(step, contracts).build(_emissions(result, contracts))
        done = result is not None and result.output is not None
        if events:
            expected = {event.id: [] for event in events}
            asked = list(expected)
        record: dict[str, Any] = {
            "executionStatus": "normal",
            "status": "done" if done else "active",
            "initEventId": step.init_event_id,
            "parentSubject": step.parent_subject,
            "subject": step.event.subject,
            "events": {
                "consumed": step.event.to_dict(),
                "expected": expected,
                "produced": [event.to_dict() for event in events],
            }
            | ({"asked": asked} if len(asked) > 1 else {}),
            "state$$": _kept_context(result, previous),
        }
        return StepOutcome(record, events, finished=done)

    def _checking(self, event: ArvoEvent, contracts: ServiceContracts) -> ServiceContracts:
        """Give the contracts to check an event by: an init event names its own version."""
        if event.type != self.source:
            return contracts
        named = parse_dataschema(event.dataschema)
        if named is None or named.is_wildcard or named.uri != self.contract.uri:
            return contracts
        # an unknown version is an error of the workflow, not a violation: it fails for good
        return self._contracts[self.contract.version(named.version).version]


def _with_answer(
    previous: Mapping[str, Any] | None, event: ArvoEvent
) -> dict[str, list[dict[str, Any]]] | None:
    """Give the expected answers with this one filed; the state that was read stays as it is."""
    expected = previous["events"].get("expected") if previous else None
    if expected is None:
        return None
    filed: dict[str, list[dict[str, Any]]] = thaw(expected)
    answers = filed.get(event.parentid or "")
    if answers is not None and not any(
        answer["id"] == event.id and answer["source"] == event.source for answer in answers
    ):
        answers.append(event.to_dict())
    return filed


def _asked(previous: Mapping[str, Any] | None, expected: Mapping[str, object] | None) -> list[str]:
    """Name the questions in order: the keys of an object in the database do not keep it."""
    listed = (previous["events"].get("asked") or []) if previous else []
    known = [number for number in listed if number in (expected or {})]
    return [*known, *(number for number in expected or {} if number not in known)]


def _by_type(answers: Sequence[Mapping[str, Any]]) -> dict[str, list[ArvoEvent]]:
    grouped: dict[str, list[ArvoEvent]] = {}
    for answer in answers:
        event = ArvoEvent.from_trusted_dict(answer)
        grouped.setdefault(event.type, []).append(event)
    return grouped


def _emissions(
    result: ResumableResult[Any] | None, contracts: ServiceContracts
) -> list[Emission[Any]]:
    if result is None:
        return []
    emissions = [contracts.typed(wish) for wish in result.services]
    if result.output is None:
        return emissions
    output = result.output
    completion = output if isinstance(output, Completion) else Completion(data=output)
    last = Emission(
        type=contracts.own.complete.type,
        data=completion.data,
        id=completion.id,
        executionunits=completion.executionunits,
        domain=completion.domain,
    )
    return [*emissions, last]


def _kept_context(
    result: ResumableResult[Any] | None, previous: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    if result is None or result.context is None:
        kept: dict[str, Any] | None = thaw(previous.get("state$$")) if previous else None
        return kept
    context = result.context
    plain = context.model_dump(mode="json") if isinstance(context, BaseModel) else context
    copied = thaw(freeze(plain, "context"))
    if not isinstance(copied, dict):
        raise TypeError(f"the context must be a JSON object, not {type(context).__name__}")
    return copied


def create_arvo_resumable(
    *,
    contract: ArvoOrchestratorContract,
    services: Mapping[str, VersionedContract[Any, Any]],
    handler: Mapping[str, ResumableFunction] | Sequence[VersionHandler[ResumableContext[Any], Any]],
    memory: MachineMemory | None = None,
    executionunits: float = 0,
    requires_resource_locking: bool | None = None,
    domains: EmissionDomains | None = None,
    span_name: str | None = None,
) -> ArvoResumable:
    """Make a resumable workflow.

    Args:
        contract: its own contract.
        services: versions of the contracts of the services that it calls, by any name.
        handler: a function for each version, ``async`` or plain; a plain one runs in a thread.
            By version, or a list of functions that were decorated by their versions.
        memory: where the state lives; a worker binds its own.
        executionunits: default cost of what it emits.
        requires_resource_locking: by default, whether there is more than one service.
        domains: default domains of what it emits.
        span_name: name of its spans.

    Raises:
        InvalidContractError: versions and functions differ.
        ConfigViolation: two services share a contract URI, or the workflow is its own service.
    """
    return ArvoResumable(
        contract=contract,
        services=services,
        handler=handler,
        memory=memory,
        executionunits=executionunits,
        requires_resource_locking=requires_resource_locking,
        domains=domains or EmissionDomains(),
        span_name=span_name,
    )
