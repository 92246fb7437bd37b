"""Contracts: which data a handler accepts and emits, by version (section 3 of the semantics)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, TypedDict, overload

from typing_extensions import TypeVar

from arvo_plpg.contract_version import ContractVersion, SimpleVersion, VersionOf, WorkflowVersion
from arvo_plpg.dataschema import DataSchema
from arvo_plpg.model_error import InvalidContractError
from arvo_plpg.pattern import is_domain, is_event_type, is_version, version_key
from arvo_plpg.payload import (
    SYSTEM_ERROR_SCHEMA,
    EventData,
    OrchestratorInitSchema,
    Schema,
    SchemaSource,
    as_schema,
)
from arvo_plpg.subject import WILDCARD_VERSION
from arvo_plpg.uri import is_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_V = TypeVar("_V")
_Made = TypeVar("_Made", bound=VersionOf[Any, Any])
_In = TypeVar("_In", bound=EventData)
_Out = TypeVar("_Out", bound=EventData)
_Accepted_co = TypeVar("_Accepted_co", covariant=True, default=EventData)
_Emitted_co = TypeVar("_Emitted_co", covariant=True, default=EventData)

ORCHESTRATOR_PREFIX: Final = "arvo.orc"
"""Types that begin like this belong to orchestrators."""


class VersionDefinition(TypedDict):
    """One version of a contract: the accepted schema, and a schema for each emitted type."""

    accepts: SchemaSource
    emits: Mapping[str, SchemaSource]


class SimpleVersionDefinition(TypedDict):
    """One version of a simple contract: one schema in, one out."""

    accepts: SchemaSource
    emits: SchemaSource


class OrchestratorVersionDefinition(TypedDict):
    """One version of an orchestrator contract: what starts it, what it ends with."""

    init: SchemaSource
    complete: SchemaSource


@dataclass(frozen=True, slots=True)
class TypedSchema:
    """An event type and the schema of its data."""

    type: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class SystemErrorSchema:
    """The error event of a contract; the same in every version."""

    type: str
    schema: Schema
    dataschema: str


@dataclass(frozen=True)
class VersionedContract(Generic[_Accepted_co, _Emitted_co]):
    """One version of a contract.

    A type checker knows what it accepts and emits if it was made by
    ``contract.version(V1)``, where ``V1`` is of :func:`~arvo_plpg.contract_version`.

    Attributes:
        uri: the contract's identity.
        version: X.Y.Z.
        accepts: type and schema of what the handler takes.
        emits: schema of each type that it answers with.
        domain: the contract's domain, None for the local broker.
        description: for people.
        metadata: anything else.
    """

    uri: str
    version: str
    accepts: TypedSchema
    emits: Mapping[str, Schema]
    domain: str | None
    description: str | None
    metadata: Mapping[str, Any]

    @property
    def dataschema(self) -> str:
        """The ``dataschema`` of its events."""
        return str(DataSchema(self.uri, self.version))

    def emitted_type(self, model: object) -> str | None:
        """Give the emitted type whose schema is this pydantic model; None if not exactly one is."""
        found = [type_ for type_, schema in self.emits.items() if schema.source is model]
        return found[0] if len(found) == 1 else None

    @property
    def emit_list(self) -> list[TypedSchema]:
        """What it emits, as a list."""
        return [TypedSchema(type_, schema) for type_, schema in self.emits.items()]

    @property
    def system_error(self) -> SystemErrorSchema:
        """Its error event."""
        return _system_error(self.uri, self.accepts.type)

    def to_json_schema(self) -> dict[str, Any]:
        """Describe this version in JSON Schema."""
        return {
            "domain": self.domain,
            "version": self.version,
            "accepts": _described(self.accepts.type, self.accepts.schema),
            "systemError": _described(self.system_error.type, self.system_error.schema),
            "emits": [_described(emit.type, emit.schema) for emit in self.emit_list],
            "metadata": dict(self.metadata),
        }


@dataclass(frozen=True)
class VersionedOrchestratorContract(VersionedContract[_Accepted_co, _Emitted_co]):
    """One version of an orchestrator contract."""

    @property
    def complete(self) -> TypedSchema:
        """Type and schema of the completion event."""
        return self.emit_list[0]


VersionName = str | Literal["latest", "any", "oldest"]  # noqa: PYI051 - for the reader


@dataclass(frozen=True)
class ArvoContract:
    """A contract with all its versions. Make one by :func:`create_arvo_contract` and its kin.

    Attributes:
        uri: the contract's identity.
        type: the event type that it accepts, and the source of its handler.
        versions: the versions, by X.Y.Z.
        domain: the domain its events belong to, None for the local broker.
        description: for people.
        metadata: anything else.
        made_of: the versions that it was made of, where these were of ``contract_version``.
    """

    uri: str
    type: str
    versions: Mapping[str, VersionedContract[Any, Any]]
    domain: str | None = None
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    made_of: Mapping[str, VersionOf[Any, Any]] = field(default_factory=dict, repr=False)

    @property
    def system_error(self) -> SystemErrorSchema:
        """Its error event."""
        return _system_error(self.uri, self.type)

    @property
    def sorted_versions(self) -> list[str]:
        """The version names, the oldest first."""
        return sorted(self.versions, key=version_key)

    @overload
    def version(self, name: VersionOf[_In, _Out]) -> VersionedContract[_In, _Out]: ...
    @overload
    def version(self, name: VersionName) -> VersionedContract: ...
    def version(self, name: VersionName | VersionOf[Any, Any]) -> VersionedContract[Any, Any]:
        """Give one version: by X.Y.Z, ``latest`` (or ``any``), ``oldest``, or what it is made of.

        Raises:
            InvalidContractError: there is no such version.
        """
        return self.versions[self._version_name(name)]

    def to_json_schema(self) -> dict[str, Any]:
        """Describe the contract in JSON Schema, for exchange with other languages."""
        return {
            "uri": self.uri,
            "domain": self.domain,
            "description": self.description,
            "metadata": dict(self.metadata),
            "versions": [self.versions[name].to_json_schema() for name in self.sorted_versions],
        }

    def _version_name(self, name: str | VersionOf[Any, Any]) -> str:
        if isinstance(name, VersionOf):
            if self.made_of.get(name.number) is not name:
                raise InvalidContractError(
                    f"The contract (uri={self.uri}) is not made of this version {name.number}"
                )
            return name.number
        if name in {"latest", "any"}:
            return self.sorted_versions[-1]
        if name == "oldest":
            return self.sorted_versions[0]
        if name in self.versions:
            return name
        raise InvalidContractError(
            f"The contract (uri={self.uri}) does not have version={name}; "
            f"it has {', '.join(self.sorted_versions)}"
        )


@dataclass(frozen=True)
class ArvoOrchestratorContract(ArvoContract):
    """The contract of an orchestrator or a resumable."""

    versions: Mapping[str, VersionedOrchestratorContract[Any, Any]]

    @property
    def complete_type(self) -> str:
        """The type of the completion event."""
        return f"{self.type}.done"

    @overload
    def version(self, name: VersionOf[_In, _Out]) -> VersionedOrchestratorContract[_In, _Out]: ...
    @overload
    def version(self, name: VersionName) -> VersionedOrchestratorContract: ...
    def version(
        self, name: VersionName | VersionOf[Any, Any]
    ) -> VersionedOrchestratorContract[Any, Any]:
        """Give one version; see :meth:`ArvoContract.version`."""
        return self.versions[self._version_name(name)]


def create_arvo_contract(
    *,
    uri: str,
    type: str,  # noqa: A002 - the attribute's name
    versions: Mapping[str, VersionDefinition] | Sequence[ContractVersion[Any, Any]],
    domain: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> ArvoContract:
    """Make the contract of a stateless handler.

    Args:
        uri: identity of the contract, a URI reference such as ``#/org/shop/order``.
        type: the accepted event type.
        versions: ``{"1.0.0": {"accepts": Model, "emits": {"evt.some.thing": Model}}}``, or a list
            of what :func:`~arvo_plpg.contract_version` gives, whose types flow.
        domain: the domain its events belong to.
        description: for people.
        metadata: anything else.

    Raises:
        InvalidContractError: a part breaks its rule, or a type begins with ``arvo.orc``.
    """
    defined = _numbered(
        uri, versions, lambda one: VersionDefinition(accepts=one.accepts, emits=one.emits)
    )
    for role, named in [("accepts", type), *_emitted(defined)]:
        if not is_event_type(named):
            _refuse(uri, f"the '{role}' type {named!r} must have three lower-case dotted segments")
        if named.startswith(ORCHESTRATOR_PREFIX):
            _refuse(
                uri,
                f"the '{role}' event (type={named}) must not start with '{ORCHESTRATOR_PREFIX}' "
                "because this is a reserved pattern for Arvo orchestrators.",
            )
    about = _About(uri, type, domain, description, metadata or {})
    return ArvoContract(
        uri=uri,
        type=type,
        versions=MappingProxyType(
            {
                name: about.version(name, as_schema(version["accepts"]), version["emits"])
                for name, version in _checked(about, defined).items()
            }
        ),
        domain=domain,
        description=description,
        metadata=about.metadata,
        made_of=_made_of(versions),
    )


def create_simple_arvo_contract(
    *,
    uri: str,
    type: str,  # noqa: A002 - the attribute's name
    versions: Mapping[str, SimpleVersionDefinition] | Sequence[SimpleVersion[Any, Any]],
    domain: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> ArvoContract:
    """Make a contract with one answer: accepts ``com.{type}``, emits ``evt.{type}.success``.

    Raises:
        InvalidContractError: a part breaks its rule.
    """
    defined = _numbered(
        uri, versions, lambda one: SimpleVersionDefinition(accepts=one.accepts, emits=one.answer)
    )
    plain = create_arvo_contract(
        uri=uri,
        type=f"com.{type}",
        versions={
            name: {
                "accepts": version["accepts"],
                "emits": {f"evt.{type}.success": version["emits"]},
            }
            for name, version in defined.items()
        },
        domain=domain,
        description=description,
        metadata={
            **(metadata or {}),
            "contractType": "SimpleArvoContract",
            "rootType": type,
        },
    )
    return replace(plain, made_of=_made_of(versions))


def create_arvo_orchestrator_contract(
    *,
    uri: str,
    name: str,
    versions: Mapping[str, OrchestratorVersionDefinition] | Sequence[WorkflowVersion[Any, Any]],
    domain: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> ArvoOrchestratorContract:
    """Make the contract of an orchestrator: ``arvo.orc.{name}`` to ``arvo.orc.{name}.done``.

    ``parentSubject$$`` is laid over every init schema.

    Raises:
        InvalidContractError: a part breaks its rule.
    """
    if not is_domain(name):
        _refuse(
            uri,
            f"Invalid 'name' = '{name}'. The 'name' must only contain lower-case alphanumeric "
            "characters and dots. e.g. test.orchestrator",
        )
    defined = _numbered(
        uri,
        versions,
        lambda one: OrchestratorVersionDefinition(init=one.accepts, complete=one.answer),
    )
    type_ = f"{ORCHESTRATOR_PREFIX}.{name}"
    about = _About(
        uri,
        type_,
        domain,
        description,
        {
            **(metadata or {}),
            "contractType": "ArvoOrchestratorContract",
            "rootType": name,
            "initEventType": type_,
            "completeEventType": f"{type_}.done",
        },
    )
    return ArvoOrchestratorContract(
        uri=uri,
        type=type_,
        versions=MappingProxyType(
            {
                number: about.orchestrator_version(number, version)
                for number, version in _checked(about, defined).items()
            }
        ),
        domain=domain,
        description=description,
        metadata=about.metadata,
        made_of=_made_of(versions),
    )


@dataclass(frozen=True)
class _About:
    """What the versions of a contract share."""

    uri: str
    type: str
    domain: str | None
    description: str | None
    metadata: Mapping[str, Any]

    def version(
        self, name: str, accepts: Schema, emits: Mapping[str, SchemaSource]
    ) -> VersionedContract[Any, Any]:
        return VersionedContract(
            uri=self.uri,
            version=name,
            accepts=TypedSchema(self.type, accepts),
            emits=MappingProxyType({type_: as_schema(source) for type_, source in emits.items()}),
            domain=self.domain,
            description=self.description,
            metadata=self.metadata,
        )

    def orchestrator_version(
        self, name: str, version: OrchestratorVersionDefinition
    ) -> VersionedOrchestratorContract[Any, Any]:
        return VersionedOrchestratorContract(
            uri=self.uri,
            version=name,
            accepts=TypedSchema(self.type, OrchestratorInitSchema(version["init"])),
            emits=MappingProxyType({f"{self.type}.done": as_schema(version["complete"])}),
            domain=self.domain,
            description=self.description,
            metadata=self.metadata,
        )


def _numbered(
    uri: str, versions: Mapping[str, _V] | Sequence[_Made], define: Callable[[_Made], _V]
) -> Mapping[str, _V]:
    """Give versions by number, whichever way they were told."""
    if isinstance(versions, Mapping):
        return versions
    numbers = [version.number for version in versions]
    if len(set(numbers)) < len(numbers):
        _refuse(uri, f"versions must be distinct, not {', '.join(numbers)}")
    return {version.number: define(version) for version in versions}


def _made_of(
    versions: Mapping[str, Any] | Sequence[VersionOf[Any, Any]],
) -> Mapping[str, VersionOf[Any, Any]]:
    if isinstance(versions, Mapping):
        return {}
    return MappingProxyType({version.number: version for version in versions})


def _checked(about: _About, versions: Mapping[str, _V]) -> Mapping[str, _V]:
    if not is_uri(about.uri):
        _refuse(about.uri, "the uri must be a non-empty, percent-encoded URI reference")
    if not is_event_type(about.type):
        _refuse(about.uri, f"the type {about.type!r} must have at least three lower-case segments")
    if about.domain is not None and not is_domain(about.domain):
        _refuse(about.uri, f"the domain {about.domain!r} must match [a-z0-9.]+, or be None")
    if not versions:
        _refuse(about.uri, "there must be at least one version")
    for name in versions:
        if name == WILDCARD_VERSION:
            _refuse(about.uri, f"the version cannot be '{name}'. It is a reserved version type.")
        if not is_version(name):
            _refuse(about.uri, f"the version {name!r} must be three numbers joined by dots")
    return versions


def _emitted(versions: Mapping[str, VersionDefinition]) -> list[tuple[str, str]]:
    return [("emits", type_) for version in versions.values() for type_ in version["emits"]]


def _system_error(uri: str, type_: str) -> SystemErrorSchema:
    return SystemErrorSchema(
        f"sys.{type_}.error", SYSTEM_ERROR_SCHEMA, str(DataSchema(uri, WILDCARD_VERSION))
    )


def _described(type_: str, schema: Schema) -> dict[str, Any]:
    return {"type": type_, "schema": schema.to_json_schema()}


def _refuse(uri: str, reason: str) -> NoReturn:
    raise InvalidContractError(f"In contract (uri={uri}), {reason}")
