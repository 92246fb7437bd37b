"""ArvoEvent: the one noun that every other part of the package knows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from time import time_ns
from typing import Annotated, Any, Final, Literal, Self, TypeVar, cast

from opentelemetry import trace
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticSerializationError, to_json

from arvo_plpg.attributes import (
    ARVO_ATTRIBUTES,
    ARVO_CONTENT_TYPE,
    ATTRIBUTES,
    CORE_ATTRIBUTES,
    DEFAULTS,
    MAX_EVENT_BYTES,
)
from arvo_plpg.errors import InvalidArgument
from arvo_plpg.event_id import EventId, create_arvo_event_id
from arvo_plpg.frozen import FrozenDict, freeze, thaw
from arvo_plpg.model_error import EventTooLargeError, InvalidEventError
from arvo_plpg.pattern import DOMAIN_PATTERN, EVENT_TYPE_PATTERN, EXTENSION_KEY, is_event_time
from arvo_plpg.short_form import short
from arvo_plpg.trace_context import current_headers
from arvo_plpg.uri import URI_PATTERN, encode_uri, known_uri
from arvo_plpg.usual import usual_event

_JSON_CONTENT_TYPES = ("application/cloudevents+json", "application/json")

_REQUIRED: Final = {"id", "source", "type", "subject", "data", "time"}
# Sets, as pydantic has them; those of most events are one.
_USUAL_FIELDS: Final = set(ATTRIBUTES)
_EVERY_FIELD: Final = {*ATTRIBUTES, "extensions"}
_PLAIN: Final = {str, int, bool, type(None)}
"""Types of JSON values that need not be looked at again; a float may be too large to be one."""

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_URI_RULE = "must be a non-empty, percent-encoded URI reference"
_TEXT_RULE = "must be non-empty text or null"
_RULES: Final = {
    "id": "must be non-empty text",
    "source": _URI_RULE,
    "specversion": "must be '1.0'",
    "type": "must be at least three lower-case segments joined by dots, e.g. com.order.create",
    "subject": _URI_RULE,
    "datacontenttype": "must contain 'application/cloudevents+json' or 'application/json'",
    "dataschema": f"{_URI_RULE} or null",
    "data": "must be a JSON object",
    "time": "must be a date and time with offset, e.g. 2026-01-02T03:04:05.678+00:00",
    "to": f"{_URI_RULE} or null",
    "accesscontrol": _TEXT_RULE,
    "redirectto": f"{_URI_RULE} or null",
    "executionunits": "must be a finite number or null",
    "traceparent": _TEXT_RULE,
    "tracestate": _TEXT_RULE,
    "parentid": _TEXT_RULE,
    "domain": "must consist of lower-case letters, digits and dots, or be null",
    "extensions": "must map lower-case alphanumeric keys to text, finite numbers, booleans or null",
}


def _event_time(text: str) -> str:
    if not is_event_time(text):
        raise ValueError(_RULES["time"])
    return text


def _json_content_type(text: str) -> str:
    if text != ARVO_CONTENT_TYPE and not any(accepted in text for accepted in _JSON_CONTENT_TYPES):
        raise ValueError(_RULES["datacontenttype"])
    return text


def _frozen_data(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping | BaseModel):
        raise ValueError(_RULES["data"])  # noqa: TRY004 - pydantic gathers ValueErrors only
    frozen: Mapping[str, Any] = freeze(value)
    if not isinstance(frozen, dict):  # a root model over an array, say
        raise ValueError(_RULES["data"])  # noqa: TRY004
    return frozen


def _frozen_extensions(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(_RULES["extensions"])  # noqa: TRY004
    if not value:
        return _NO_EXTENSIONS
    for key, item in value.items():
        if not isinstance(key, str) or EXTENSION_KEY.fullmatch(key) is None:
            raise ValueError(f"{key!r} is not a key of lower-case letters and digits")
        if key in ATTRIBUTES:
            raise ValueError(f"{key!r} is an attribute of every event and cannot be an extension")
        if not (item is None or isinstance(item, str | int | float)):
            raise ValueError(f"{key!r} is neither text, number, boolean nor null")
    frozen: Mapping[str, Any] = freeze(value, "extensions")
    return frozen


_NO_EXTENSIONS: Final = FrozenDict()

_Text = Annotated[str, StringConstraints(min_length=1)]
_Uri = Annotated[str, StringConstraints(pattern=URI_PATTERN)]
_Number = int | Annotated[float, Field(allow_inf_nan=False)]


class ArvoEvent(BaseModel):
    """One event: seventeen attributes, and extensions.

    It cannot be changed, in depth: ``data`` and ``extensions`` are immutable ``dict`` and ``list``
    subclasses. :meth:`to_dict` gives a copy that can be changed. Two events are equal when their
    JSON is; the hash is that of (source, id).

    The constructor takes every attribute as it shall stand, and raises
    :class:`pydantic.ValidationError`. :func:`create_arvo_event` fills in defaults.
    The rules are those of section 1.1 of the semantics; ``docs/deviations.md`` lists where
    we differ.

    Attributes:
        id: identity; with ``source`` the key of deduplication.
        source: who produced the event.
        specversion: always ``1.0``.
        type: what happened, three or more dotted segments.
        subject: the workflow that the event belongs to, carried verbatim.
        datacontenttype: media type; names JSON.
        dataschema: ``{contract uri}/{version}``.
        data: the payload, a JSON object.
        time: when it was made, by the producer's clock. Do not order by it.
        to: the handler that shall have it.
        accesscontrol: free text for the users' own policies.
        redirectto: where the answer shall go.
        executionunits: cost, in the users' own unit.
        traceparent: W3C trace context.
        tracestate: W3C trace context.
        parentid: the id of the event that caused this one.
        domain: where it shall be handled, None for the local broker.
        extensions: CloudEvents extension attributes of the user.
    """

    __slots__ = ("_text",)
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    id: _Text
    source: _Uri
    specversion: Literal["1.0"] = "1.0"
    type: Annotated[str, StringConstraints(pattern=EVENT_TYPE_PATTERN)]
    subject: _Uri
    datacontenttype: Annotated[str, AfterValidator(_json_content_type)] = ARVO_CONTENT_TYPE
    dataschema: _Uri | None = None
    data: Annotated[Mapping[str, Any], PlainValidator(_frozen_data)]
    time: Annotated[str, AfterValidator(_event_time)]
    to: _Uri | None = None
    accesscontrol: _Text | None = None
    redirectto: _Uri | None = None
    executionunits: _Number | None = None
    traceparent: _Text | None = None
    tracestate: _Text | None = None
    parentid: _Text | None = None
    domain: Annotated[str, StringConstraints(pattern=DOMAIN_PATTERN)] | None = None
    extensions: Annotated[Mapping[str, Any], PlainValidator(_frozen_extensions)] = _NO_EXTENSIONS

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if not self.to and self.datacontenttype == ARVO_CONTENT_TYPE:
            raise ValueError("to: the ArvoEvent must have a non-empty 'to' field")
        try:
            text = to_json(self._flat())
        except (PydanticSerializationError, UnicodeError) as error:
            raise ValueError(f"{self._culprit()} holds a lone surrogate; remove it") from error
        if len(text) > MAX_EVENT_BYTES:
            raise EventTooLargeError(len(text), MAX_EVENT_BYTES)
        if b"\\u0000" in text and _NUL.search(text):
            raise ValueError(
                f"{self._culprit()} holds a NUL character, which jsonb cannot keep; remove it"
            )
        object.__setattr__(self, "_text", text)  # measured, and soon sent
        return self

    @property
    def validated_json(self) -> bytes | None:
        """The text of :meth:`to_json` as the validation wrote it; None without validation."""
        text: bytes | None = getattr(self, "_text", None)
        return text

    def _culprit(self) -> str:
        for name, value in self._flat().items():
            try:
                text = to_json({name: value})
            except (PydanticSerializationError, UnicodeError):
                return name
            if _NUL.search(text):
                return name
        return "the event"

    def _flat(self) -> dict[str, Any]:
        """Give the JSON object, in upstream's key order; ``data`` is the frozen one."""
        own = self.__dict__
        flat = {name: own[name] for name in CORE_ATTRIBUTES}
        if own["extensions"]:
            flat.update(own["extensions"])
        for name in ARVO_ATTRIBUTES:
            flat[name] = own[name]
        return flat

    def to_dict(self) -> dict[str, Any]:
        """Give the event as one flat, changeable JSON object.

        Key order is upstream's: the nine core attributes, the extensions in their own order, the
        eight Arvo attributes. Attributes without a value are present as None.
        """
        flat = self._flat()
        flat["data"] = thaw(flat["data"])
        return flat

    def to_json(self) -> str:
        """Give the text of :meth:`to_dict` as compact JSON.

        Numbers are spelled as Python spells them (``1e-06`` or ``20.0`` where JavaScript writes
        ``0.000001`` or ``20``); their values are the same.
        """
        return (self.validated_json or to_json(self._flat())).decode()

    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        """Build an event from its flat JSON object.

        Nullable keys may be missing (events of Arvo 2.x lack ``parentid`` and ``domain``);
        unknown keys become extensions.

        Raises:
            InvalidEventError: a rule is broken; the message names attribute and rule.
            EventTooLargeError: the JSON text exceeds ``MAX_EVENT_BYTES``.
        """
        if type(flat) is dict and cls is ArvoEvent and (usual := usual_event(flat)) is not None:
            return cast("Self", _made_of(flat, *usual))
        if not isinstance(flat, Mapping):
            raise InvalidEventError(f"an event is a JSON object, not {type(flat).__name__}")
        fields = {}
        extensions = {}
        for key, value in flat.items():
            if key in ATTRIBUTES:
                fields[key] = value
            else:
                extensions[key] = value
        if extensions:
            fields["extensions"] = extensions
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise invalid_event(error) from error

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Build an event from JSON text; see :meth:`from_dict`.

        Raises:
            InvalidEventError: the text is not JSON, or a rule is broken.
        """
        try:
            flat = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidEventError(f"the text is not JSON: {error}") from error
        return cls.from_dict(flat)

    @classmethod
    def from_trusted_dict(cls, flat: Mapping[str, Any]) -> Self:
        """Build an event without validation, from what was validated before.

        Only for events that come out of the database. A missing ``id``, ``source``, ``type``,
        ``subject``, ``data`` or ``time`` raises KeyError.
        """
        return _trusted(cls, dict(flat))

    @property
    def cloudevent(self) -> dict[str, dict[str, Any]]:
        """The event parted into ``default`` (core attributes) and ``extensions`` (the rest)."""
        flat = self.to_dict()
        default = {name: flat.pop(name) for name in CORE_ATTRIBUTES}
        return {"default": default, "extensions": flat}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArvoEvent):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((self.source, self.id))

    def __str__(self) -> str:
        return self.to_json()


_Event = TypeVar("_Event", bound=ArvoEvent)

# As object.__setattr__ would, with the look-up of the names already done.
_set_own = BaseModel.__dict__["__dict__"].__set__
_set_fields = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__
_set_text = ArvoEvent.__dict__["_text"].__set__


def _bare(kind: type[_Event], own: dict[str, Any], fields_set: set[str]) -> _Event:
    """Make an event of all its attributes, as pydantic does when it has validated them."""
    event = object.__new__(kind)
    _set_own(event, own)
    _set_fields(event, fields_set)
    _set_extra(event, None)
    _set_private(event, None)
    return event


def read_event(flat: dict[str, Any]) -> ArvoEvent:
    """Make what :meth:`ArvoEvent.from_trusted_dict` makes, of a dictionary that becomes its own."""
    return _trusted(ArvoEvent, flat)


def _trusted(kind: type[_Event], own: dict[str, Any]) -> _Event:
    extensions = _NO_EXTENSIONS
    if own.keys() != ATTRIBUTES:
        if not own.keys() >= _REQUIRED:
            raise KeyError(*sorted(_REQUIRED - own.keys()))
        if foreign := [key for key in own if key not in ATTRIBUTES]:
            extensions = FrozenDict({key: own.pop(key) for key in foreign})
        own = {**DEFAULTS, **own}
    own["specversion"] = "1.0"
    if not own["datacontenttype"]:
        own["datacontenttype"] = ARVO_CONTENT_TYPE
    data = own["data"]
    plain = type(data) is dict and _PLAIN.issuperset(map(type, data.values()))
    own["data"] = FrozenDict(data) if plain else freeze(data)
    own["extensions"] = extensions
    return _bare(kind, own, _EVERY_FIELD)


def _made_of(
    fields: Mapping[str, Any], whole: dict[str, Any], data: FrozenDict, text: bytes
) -> ArvoEvent:
    """Make an event of what :func:`~arvo_plpg.usual.usual_event` has found of its fields."""
    whole["data"] = data
    whole["extensions"] = _NO_EXTENSIONS
    every = len(fields) == len(ATTRIBUTES)
    event = _bare(ArvoEvent, whole, _USUAL_FIELDS if every else set(fields))
    _set_text(event, text)
    return event


def invalid_event(error: ValidationError) -> InvalidEventError:
    """Translate pydantic's report into ours: field, rule and value, for each broken rule."""
    sentences: dict[str, None] = {}
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, EventTooLargeError):
            return cause
        field = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "missing":
            sentences[f"{field} is missing; it {_RULES.get(field, 'is required')}"] = None
        elif isinstance(cause, ValueError):
            text = str(cause)
            shown = f", not {short(item['input'])}" if field else ""
            sentences[f"{text if text.startswith(field) else f'{field}: {text}'}{shown}"] = None
        else:
            shown = short(item["input"])
            sentences[f"{field} {_RULES.get(field, item['msg'])}, not {shown}"] = None
    return InvalidEventError("; ".join(sentences))


_second: tuple[int, str] = (0, "")


def event_time_now() -> str:
    """Give the present in UTC as ``YYYY-MM-DDTHH:MM:SS.mmm+00:00``."""
    global _second  # noqa: PLW0603 - written out once a second, not for each event
    now, milliseconds = divmod(time_ns() // 1_000_000, 1000)
    second, text = _second
    if second != now:
        text = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _second = now, text
    return f"{text}.{milliseconds:03}+00:00"


def create_arvo_event(
    *,
    source: str,
    type: str,  # noqa: A002 - the attribute's name
    subject: str,
    data: Mapping[str, Any] | BaseModel,
    id: EventId | str | None = None,  # noqa: A002 - the attribute's name
    time: str | None = None,
    to: str | None = None,
    specversion: str = "1.0",
    datacontenttype: str | None = None,
    dataschema: str | None = None,
    accesscontrol: str | None = None,
    redirectto: str | None = None,
    executionunits: float | None = None,
    traceparent: str | None = None,
    tracestate: str | None = None,
    parentid: str | None = None,
    domain: str | None = None,
    extensions: Mapping[str, str | int | float | bool | None] | None = None,
) -> ArvoEvent:
    """Make an event, with the defaults of section 1.1 of the semantics.

    ``source``, ``subject``, ``to``, ``dataschema`` and ``redirectto`` are percent-encoded unless
    they already are. Empty optional ones count as not given.

    Args:
        source: who produces the event.
        type: what happened, three or more dotted lower-case segments.
        subject: the workflow it belongs to.
        data: the payload: a JSON object or a pydantic model, which is dumped by alias.
        id: see :class:`~arvo_plpg.event_id.EventId`; a UUID by default.
        time: by default the present, in UTC.
        to: the handler that shall have it; by default the type.
        specversion: always ``1.0``.
        datacontenttype: by default Arvo's.
        dataschema: ``{contract uri}/{version}``.
        accesscontrol: free text for the users' own policies.
        redirectto: where the answer shall go.
        executionunits: cost, in the users' own unit.
        traceparent: by default that of the active OpenTelemetry span.
        tracestate: by default that of the active OpenTelemetry span.
        parentid: the id of the event that caused this one.
        domain: None for the local broker.
        extensions: further attributes; keys of lower-case letters and digits.

    Raises:
        InvalidEventError: a rule is broken; the message names attribute and rule.
        EventTooLargeError: the JSON text exceeds ``MAX_EVENT_BYTES``.
    """
    if traceparent is None or tracestate is None:
        headers = current_headers()
        if traceparent is None:
            traceparent = headers.traceparent
            tracestate = headers.tracestate if tracestate is None else tracestate
    if datacontenttype is None:
        datacontenttype = ARVO_CONTENT_TYPE
    elif datacontenttype != ARVO_CONTENT_TYPE:
        trace.get_current_span().add_event(
            "WARNING", {"message": f"datacontenttype is {datacontenttype}, not {ARVO_CONTENT_TYPE}"}
        )
    fields: dict[str, Any] = {
        "id": create_arvo_event_id(id),
        "source": _encoded(source),
        "specversion": specversion,
        "type": type,
        "subject": _encoded_once(subject),
        "datacontenttype": datacontenttype,
        "dataschema": _encoded(dataschema) or None,
        "data": data,
        "time": event_time_now() if time is None else time,
        "to": _encoded(to or type),
        "accesscontrol": accesscontrol,
        "redirectto": _encoded(redirectto) or None,
        "executionunits": executionunits,
        "traceparent": traceparent,
        "tracestate": tracestate,
        "parentid": parentid or None,
        "domain": domain,
    }
    usual = None if extensions else usual_event(fields)
    if usual is not None:
        return _made_of(fields, *usual)
    if extensions:
        fields["extensions"] = extensions
    try:
        return ArvoEvent.model_validate(fields)
    except ValidationError as error:
        raise invalid_event(error) from error


def _encoded(value: Any) -> Any:  # noqa: ANN401 - of an attribute that recurs
    return value if value is None or known_uri(value) else _encoded_once(value)


def _encoded_once(value: Any) -> Any:  # noqa: ANN401 - what is no text is left for the validation
    return encode_uri(value) if isinstance(value, str) and value else value


def check_events(events: Iterable[object]) -> None:
    """Refuse what is no event.

    Raises:
        InvalidArgument: something is no ArvoEvent.
    """
    for event in events:
        if not isinstance(event, ArvoEvent):
            raise InvalidArgument(
                "argument is not valid",
                detail=f"event is of type {type(event).__name__}",
                hint="Give an ArvoEvent: of a factory, create_arvo_event or ArvoEvent.from_dict.",
                field="event",
            )
