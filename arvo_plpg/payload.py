"""Schema: what the data of an event must look like, told by pydantic.

A schema is a pydantic model class, or a :class:`pydantic.TypeAdapter` over anything that dumps to a
JSON object (a TypedDict, a union of models, ...).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from arvo_plpg.model_error import ModelError

SchemaSource = type[BaseModel] | TypeAdapter[Any]
"""What users give as a schema."""

PARENT_SUBJECT: Final = "parentSubject$$"
"""The key of an init event that names the parent workflow."""


class SchemaMismatchError(ModelError):
    """Data does not fit a schema; the message lists every misfit with its place."""


class Schema:
    """One schema of a contract.

    Attributes:
        source: the pydantic model or adapter it is made of.
    """

    def __init__(self, source: SchemaSource) -> None:
        self.source = source
        self._adapter: TypeAdapter[Any] = (
            source if isinstance(source, TypeAdapter) else TypeAdapter(source)
        )

    def parse(self, data: Mapping[str, Any] | BaseModel) -> Any:  # noqa: ANN401
        """Validate data and give what the schema makes of it: a model, usually.

        Raises:
            SchemaMismatchError: the data does not fit.
        """
        try:
            return self._adapter.validate_python(_plain(data))
        except ValidationError as error:
            raise SchemaMismatchError(_misfits(error)) from error

    def apply(self, data: Mapping[str, Any] | BaseModel) -> dict[str, Any]:
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


class OrchestratorInitSchema(Schema):
    """An init schema with ``parentSubject$$`` laid over it: required, non-empty text or null."""

    def parse(self, data: Mapping[str, Any] | BaseModel) -> Any:  # noqa: ANN401
        """Validate data; ``parentSubject$$`` is checked and then left out of the result."""
        plain = _plain(data)
        if PARENT_SUBJECT not in plain:
            raise SchemaMismatchError(
                f"{PARENT_SUBJECT}: required; give the subject of the parent, or None at the root"
            )
        parent = plain.pop(PARENT_SUBJECT)
        if parent is not None and not (isinstance(parent, str) and parent):
            raise SchemaMismatchError(f"{PARENT_SUBJECT}: must be non-empty text or null")
        return super().parse(plain)

    def apply(self, data: Mapping[str, Any] | BaseModel) -> dict[str, Any]:
        """Validate data and give it back as plain JSON, ``parentSubject$$`` first."""
        plain = _plain(data)
        applied = super().apply(plain)
        return {PARENT_SUBJECT: plain[PARENT_SUBJECT], **applied}

    def to_json_schema(self) -> dict[str, Any]:
        """Give the JSON Schema of accepted data, ``parentSubject$$`` included."""
        inner = super().to_json_schema()
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


def _plain(data: Mapping[str, Any] | BaseModel) -> dict[str, Any]:
    if isinstance(data, BaseModel):
        return data.model_dump(mode="json", by_alias=True)
    if isinstance(data, Mapping):
        return dict(data)
    raise SchemaMismatchError(f"data must be a JSON object, not {type(data).__name__}")


def _misfits(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'data'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)
    )
