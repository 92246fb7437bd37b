"""Schema: what the data of an event must look like, told by pydantic or in JSON Schema.

A schema is a pydantic model class, a :class:`pydantic.TypeAdapter` over anything that dumps to a
JSON object (a TypedDict, a union of models, ...), or a :class:`~arvo_plpg.JsonSchema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from arvo_plpg.model_error import ModelError
from arvo_plpg.short_form import short

EventData = Mapping[str, Any] | BaseModel
"""Data of an event: a JSON object, or a pydantic model that dumps to one."""

PARENT_SUBJECT: Final = "parentSubject$$"
"""The key of an init event that names the parent workflow."""


class SchemaMismatchError(ModelError):
    """Data does not fit a schema; the message lists every misfit with its place."""


class Schema:
    """One schema of a contract.

    Attributes:
        source: the pydantic model or adapter it is made of; None if it is of neither.
    """

    def __init__(self, source: type[BaseModel] | TypeAdapter[Any]) -> None:
        self.source: object | None = source
        self._adapter: TypeAdapter[Any] = (
            source if isinstance(source, TypeAdapter) else TypeAdapter(source)
        )

    def parse(self, data: EventData) -> Any:  # noqa: ANN401
        """Validate data and give what the schema makes of it: a model, usually.

        Raises:
            SchemaMismatchError: the data does not fit.
        """
        try:
            return self._adapter.validate_python(plain(data))
        except ValidationError as error:
            raise SchemaMismatchError(_misfits(error)) from error

    def apply(self, data: EventData) -> dict[str, Any]:
        """Validate data and give it back as plain JSON, with defaults filled in and strangers gone.

        Raises:
            SchemaMismatchError: the data does not fit, or does not dump to a JSON object.
        """
        dumped = self._adapter.dump_python(self.parse(data), mode="json", by_alias=True)
        if not isinstance(dumped, dict):
            raise SchemaMismatchError("the schema does not give a JSON object")
        return dumped

    def to_json_schema(self) -> dict[str, Any]:
        """Give the JSON Schema (draft 2020-12) of accepted data."""
        return self._adapter.json_schema(by_alias=True, mode="validation")


SchemaSource = type[BaseModel] | TypeAdapter[Any] | Schema
"""What users give as a schema."""


def as_schema(source: SchemaSource) -> Schema:
    """Give the schema of what a user gave."""
    return source if isinstance(source, Schema) else Schema(source)


class OrchestratorInitSchema(Schema):
    """An init schema with ``parentSubject$$`` laid over it: required, non-empty text or null.

    Attributes:
        source: that of the schema below.
    """

    def __init__(self, source: SchemaSource) -> None:
        self._below = as_schema(source)
        self.source = self._below.source

    def parse(self, data: EventData) -> Any:  # noqa: ANN401
        """Validate data; ``parentSubject$$`` is checked and then left out of the result."""
        return self._below.parse(_parted(data)[1])

    def apply(self, data: EventData) -> dict[str, Any]:
        """Validate data and give it back as plain JSON, ``parentSubject$$`` first."""
        parent, rest = _parted(data)
        return {PARENT_SUBJECT: parent, **self._below.apply(rest)}

    def to_json_schema(self) -> dict[str, Any]:
        """Give the JSON Schema of accepted data, ``parentSubject$$`` included."""
        inner = self._below.to_json_schema()
        parent = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]}
        return {
            **inner,
            "properties": {PARENT_SUBJECT: parent, **inner.get("properties", {})},
            "required": [PARENT_SUBJECT, *inner.get("required", [])],
        }


class SystemErrorData(BaseModel):
    """The payload of every ``sys.*.error`` event; its keys are fixed by Arvo."""

    errorName: str  # noqa: N815 - the key on the wire
    errorMessage: str  # noqa: N815
    errorStack: str | None  # noqa: N815


SYSTEM_ERROR_SCHEMA: Final = Schema(SystemErrorData)


def _parted(data: EventData) -> tuple[str | None, dict[str, Any]]:
    """Part init data into the parent's subject and the rest."""
    rest = plain(data)
    if PARENT_SUBJECT not in rest:
        raise SchemaMismatchError(
            f"{PARENT_SUBJECT}: required; give the subject of the parent, or None at the root"
        )
    parent = rest.pop(PARENT_SUBJECT)
    if parent is not None and not (isinstance(parent, str) and parent):
        raise SchemaMismatchError(f"{PARENT_SUBJECT}: must be non-empty text or null")
    return parent, rest


def plain(data: EventData) -> dict[str, Any]:
    """Give data as a JSON object: a model is dumped by alias.

    Raises:
        SchemaMismatchError: it is neither a mapping nor a model.
    """
    if isinstance(data, BaseModel):
        return data.model_dump(mode="json", by_alias=True)
    if isinstance(data, Mapping):
        return dict(data)
    raise SchemaMismatchError(f"data must be a JSON object, not {type(data).__name__}")


def _misfits(error: ValidationError) -> str:
    """Tell each misfit: its place, the rule, and what is there, in short."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'data'}: {item['msg']}"
        + ("" if item["type"] == "missing" else f", not {short(item['input'])}")
        for item in error.errors(include_url=False)
    )
