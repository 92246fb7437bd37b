"""JsonSchema: a schema of a contract that was written in JSON Schema, perhaps by another language.

It needs the package ``jsonschema`` (extra ``jsonschema``)::

    ORDER = JsonSchema({"type": "object", "properties": {"id": {"type": "string"}}})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from arvo_plpg.errors import InvalidArgument
from arvo_plpg.frozen import freeze, thaw
from arvo_plpg.model_error import InvalidContractError
from arvo_plpg.payload import Schema, SchemaMismatchError, plain

if TYPE_CHECKING:
    from arvo_plpg.payload import EventData

_MAX_MISFITS: Final = 20
_SHOWN: Final = 200


class JsonSchema(Schema):
    """A schema told in JSON Schema; draft 2020-12 unless ``$schema`` names another.

    Data stay as they are: unlike a pydantic model it fills in no defaults and drops no strangers.
    References to other documents are not followed.

    Args:
        document: the JSON Schema, an object.

    Raises:
        InvalidContractError: the document is no JSON Schema.
        InvalidArgument: the package ``jsonschema`` is missing.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        try:
            import jsonschema  # noqa: PLC0415 - an extra
            import referencing  # noqa: PLC0415 - comes with it
        except ImportError as error:
            raise InvalidArgument(
                "the package 'jsonschema' is missing",
                hint="Install arvo-plpg[jsonschema], or tell the schema as a pydantic model.",
            ) from error
        if not isinstance(document, Mapping):
            raise InvalidContractError(
                f"a JSON Schema is a JSON object, not {type(document).__name__}"
            )
        self.source = None
        self._document = freeze(document, "schema")
        kind = jsonschema.validators.validator_for(
            self._document, default=jsonschema.Draft202012Validator
        )
        try:
            kind.check_schema(self._document)
        except jsonschema.SchemaError as error:
            raise InvalidContractError(
                f"it is no JSON Schema: {_place(error)}: {error.message[:_SHOWN]}"
            ) from error
        # a registry of its own: the default one would fetch what a reference names
        self._validator = kind(self._document, registry=referencing.Registry())
        self._unresolvable = referencing.exceptions.Unresolvable

    def parse(self, data: EventData) -> dict[str, Any]:
        """Validate data and give them as a plain JSON object.

        Raises:
            SchemaMismatchError: the data do not fit, or a reference leads nowhere.
        """
        given = thaw(freeze(plain(data)))
        try:
            found = list(self._validator.iter_errors(given))
        except (self._unresolvable, RecursionError) as error:
            raise SchemaMismatchError(f"the schema cannot be applied: {error}") from error
        if found:
            raise SchemaMismatchError(
                "; ".join(f"{_place(one)}: {one.message[:_SHOWN]}" for one in found[:_MAX_MISFITS])
            )
        kept: dict[str, Any] = given
        return kept

    def apply(self, data: EventData) -> dict[str, Any]:
        """Validate data and give them as a plain JSON object, as :meth:`parse` does."""
        return self.parse(data)

    def to_json_schema(self) -> dict[str, Any]:
        """Give a copy of the document."""
        copied: dict[str, Any] = thaw(self._document)
        return copied


def _place(error: Any) -> str:  # noqa: ANN401 - of an untyped package
    return ".".join(map(str, error.absolute_path)) or "data"
