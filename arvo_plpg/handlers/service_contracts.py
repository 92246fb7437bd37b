"""ServiceContracts: what a workflow knows of the handlers that it calls.

Input validation and lookup of sections 4.4 of the semantics.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import BaseModel

from arvo_plpg.dataschema import parse_dataschema
from arvo_plpg.handlers.emission import Emission
from arvo_plpg.payload import Schema, SchemaMismatchError
from arvo_plpg.violation import ConfigViolation, ContractViolation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arvo_plpg.contract import VersionedContract, VersionedOrchestratorContract
    from arvo_plpg.event import ArvoEvent


class ServiceContracts:
    """The contracts of one version of a workflow.

    Attributes:
        own: the workflow's own contract.
        services: the contracts of the services it calls, by any name.
    """

    def __init__(
        self,
        own: VersionedOrchestratorContract[Any, Any],
        services: Mapping[str, VersionedContract[Any, Any]],
    ) -> None:
        self.own = own
        self.services = dict(services)
        uris = [service.uri for service in self.services.values()]
        repeated = sorted({uri for uri in uris if uris.count(uri) > 1})
        if repeated:
            raise ConfigViolation(
                f"The services of '{own.accepts.type}' must have distinct contract URIs; "
                f"repeated: {', '.join(repeated)}"
            )
        if own.uri in uris:
            raise ConfigViolation(
                f"The contract '{own.uri}' of '{own.accepts.type}' is among its own services; "
                "a workflow cannot call itself"
            )
        self._by_accepted = {service.accepts.type: service for service in self.services.values()}
        self._by_emitted: dict[str, VersionedContract[Any, Any]] = {}
        for service in self.services.values():
            for type_ in (*service.emits, service.system_error.type):
                self._by_emitted.setdefault(type_, service)

    @property
    def any_with_several_answers(self) -> bool:
        """Whether a service may answer with more than one type (errors not counted)."""
        return any(len(service.emits) > 1 for service in self.services.values())

    def accepting(self, type_: str) -> VersionedContract[Any, Any] | None:
        """Give the contract of the service that takes events of a type."""
        return self._by_accepted.get(type_)

    def typed(self, wish: Emission[Any] | BaseModel) -> Emission[Any]:
        """Give an emission with its type: if none is named, that of the service with this model.

        Raises:
            ContractViolation: not exactly one service accepts the model.
        """
        emission = Emission(data=wish) if isinstance(wish, BaseModel) else wish
        if not isinstance(emission, Emission):
            raise TypeError(
                f"a workflow emits models or Emission objects, not {type(emission).__name__}"
            )
        if emission.type:
            return emission
        model = type(emission.data)
        found = [
            type_
            for type_, service in self._by_accepted.items()
            if service.accepts.schema.source is model
        ]
        if len(found) != 1:
            raise ContractViolation(
                f"Invalid event data: no single service accepts the model {model.__name__}; name "
                "the type in an Emission"
            )
        return replace(emission, type=found[0])

    def check_input(self, event: ArvoEvent) -> None:
        """Validate a consumed event: our init event, or an answer of a service.

        Raises:
            ConfigViolation: it is of no known contract.
            ContractViolation: its dataschema or data does not fit.
        """
        named = parse_dataschema(event.dataschema)
        if named is None:
            _refuse(f"the dataschema of event {event.id!r} is not usable: {event.dataschema!r}")
        contract: VersionedContract[Any, Any] | None
        if event.type == self.own.accepts.type:
            contract, schema = self.own, self.own.accepts.schema
        else:
            contract = self._by_emitted.get(event.type)
            if contract is None:
                raise ConfigViolation(
                    "Contract resolution failed - No matching contract found for event "
                    f"(id={event.id!r}, type='{event.type}'); register the service's contract"
                )
            schema = _answer_schema(contract, event.type)
        if named.uri != contract.uri:
            _refuse(f"the event names contract '{named.uri}', expected '{contract.uri}'")
        if not named.is_wildcard and named.version != contract.version:
            _refuse(f"the event names version '{named.version}', expected '{contract.version}'")
        try:
            schema.parse(event.data)
        except SchemaMismatchError as error:
            _refuse(f"Event data does not meet contract requirements: {error}", error)


def _answer_schema(contract: VersionedContract[Any, Any], type_: str) -> Schema:
    if type_ == contract.system_error.type:
        return contract.system_error.schema
    return contract.emits[type_]


def _refuse(reason: str, cause: Exception | None = None) -> NoReturn:
    raise ContractViolation(f"Input validation failed - {reason}") from cause
