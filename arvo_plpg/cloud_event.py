"""CloudEvents over HTTP: an event as headers and body, structured or binary, and back.

Nothing here opens a connection: hand headers and body to any client, or take them from any server.

What an ArvoEvent has and CloudEvents 1.0 has not is written so that strict receivers take it, and
:func:`from_http` reads it back:

* attributes without a value are left out;
* a ``dataschema`` that is no absolute URI (``#/shop/order/1.0.0``) goes into the extension
  attribute ``arvodataschema``;
* numbers other than integers of 32 bits go as text; ``executionunits`` is read back as a number,
  other extensions stay text;
* in binary mode, where ``Content-Type`` describes the data alone, ``application/cloudevents+json``
  would announce structured mode: it is written as ``application/json`` with the same parameters,
  and read back where they say ``profile=arvo``;
  Other SDKs write Arvo's media type there as it is, which is read as binary mode too;
* a time without seconds, or with an offset without colon, is completed to RFC 3339;
* characters that CloudEvents does not want in attributes (controls, noncharacters) are kept:
  percent-encoded in headers, escaped in JSON. As they stand, controls are refused in headers.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from arvo_plpg.attributes import ARVO_CONTENT_TYPE, CORE_ATTRIBUTES
from arvo_plpg.event import ArvoEvent, event_time_now
from arvo_plpg.frozen import thaw
from arvo_plpg.model_error import InvalidEventError
from arvo_plpg.short_form import short
from arvo_plpg.uri import encode_uri

STRUCTURED_CONTENT_TYPE: Final = "application/cloudevents+json; charset=UTF-8"
"""The ``Content-Type`` of structured mode."""

RELATIVE_DATASCHEMA: Final = "arvodataschema"
"""The extension attribute that carries a ``dataschema`` that is no absolute URI."""

Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""Headers as HTTP libraries give them: a mapping, or pairs of text or (ASGI) of bytes."""

_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_ENVELOPE = re.compile(r"\s*application/cloudevents\+json\s*(?=;|$)", re.IGNORECASE)
_PLAIN_JSON = re.compile(r"\s*application/json\s*;(?=.*\bprofile=arvo\b)", re.IGNORECASE)
_STRUCTURED = re.compile(r"\s*application/cloudevents(?:\+json)?\s*(?:;|$)", re.IGNORECASE)
_OF_DATA = re.compile(r"\s*application/cloudevents\+json\s*;.*\bprofile=arvo\b", re.IGNORECASE)
_ANY_ENVELOPE = re.compile(r"\s*application/cloudevents\b", re.IGNORECASE)
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^#]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7E]*")
_CONTROL = re.compile(r"[\x00-\x08\x0A-\x1F\x7F]")
_QUOTED_PAIR = re.compile(r"\\(.)")
_TIME = re.compile(
    r"(.{10}T[0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]+)?)?(Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)"
)
_INTEGER = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ENCODED: Final = ("source", "subject", "to", "dataschema", "redirectto")
_OPTIONAL: Final = (
    *("to", "accesscontrol", "redirectto", "executionunits", "dataschema", "domain"),
    *("traceparent", "tracestate", "parentid"),
)
_INT32 = range(-(2**31), 2**31)
_LONGEST_NUMBER = 4300  # digits that Python converts


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """What a request or a response carries.

    Attributes:
        headers: names are lower case.
        body: the bytes.
    """

    headers: dict[str, str]
    body: bytes


def to_http_structured(event: ArvoEvent) -> HttpMessage:
    """Write an event into a body alone, as JSON.

    Raises:
        InvalidEventError: CloudEvents cannot express it; the message names the attribute.
    """
    attributes = _attributes(event)
    attributes["data"] = thaw(event.data)
    text = json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))
    return HttpMessage({"content-type": STRUCTURED_CONTENT_TYPE}, text.encode())


def to_http_binary(event: ArvoEvent) -> HttpMessage:
    """Write an event as ``ce-`` headers, with its data as the body.

    Raises:
        InvalidEventError: CloudEvents cannot express it, or its ``datacontenttype`` is no value of
            a header; the message names the attribute.
    """
    attributes = _attributes(event)
    content_type = attributes.pop("datacontenttype")
    if _HEADER_VALUE.fullmatch(content_type) is None:
        raise InvalidEventError(
            f"datacontenttype must be printable ASCII to be a header, not {short(content_type)}"
        )
    headers = {"content-type": _ENVELOPE.sub("application/json", content_type, count=1)}
    for name, value in attributes.items():
        headers[f"ce-{name}"] = quote(_text(value), safe=_SAFE)
    body = json.dumps(thaw(event.data), ensure_ascii=False, separators=(",", ":"))
    return HttpMessage(headers, body.encode())


def from_http(headers: Headers, body: str | bytes) -> ArvoEvent:
    """Read an event from a request or a response in either mode.

    Read leniently: names of headers in any case; attributes that CloudEvents leaves to the sender
    may be missing (no media type: Arvo's; no ``to`` then: the type; no time: the present; no data:
    an empty object); URIs are percent-encoded unless they are; values may be quoted.

    Raises:
        InvalidEventError: it is no CloudEvent, or breaks a rule of events; the message names what.
        EventTooLargeError: its JSON text exceeds ``MAX_EVENT_BYTES``.
    """
    named = _lower(headers)
    content_type = named.get("content-type", "")
    if "ce-specversion" in named and _OF_DATA.match(content_type):
        flat = _binary(named, body)
    elif _STRUCTURED.match(content_type):
        flat = _structured(body)
    elif _ANY_ENVELOPE.match(content_type):
        raise InvalidEventError(
            f"content-type must be of one event in JSON, not {short(content_type)}"
        )
    elif "ce-specversion" in named:
        flat = _binary(named, body)
    else:
        raise InvalidEventError(
            "the message is no CloudEvent: it has neither the header ce-specversion nor the "
            f"content-type application/cloudevents+json, but {short(content_type)}"
        )
    return ArvoEvent.from_dict(_completed(flat))


def _attributes(event: ArvoEvent) -> dict[str, Any]:
    """Give the attributes that have a value, as CloudEvents knows them, without the data."""
    flat = {name: value for name, value in event.to_dict().items() if value is not None}
    del flat["data"]
    schema = event.dataschema
    if schema is not None and _ABSOLUTE_URI.fullmatch(schema) is None:
        if RELATIVE_DATASCHEMA in event.extensions:
            raise InvalidEventError(
                f"extensions: {RELATIVE_DATASCHEMA!r} is needed for the dataschema, rename yours"
            )
        del flat["dataschema"]
        flat[RELATIVE_DATASCHEMA] = schema
    for name, value in flat.items():
        if name not in CORE_ATTRIBUTES and _is_foreign_number(value):
            flat[name] = _text(value)
    flat["time"] = _rfc3339(event.time)
    return flat


def _is_foreign_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and value not in _INT32)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _rfc3339(time: str) -> str:
    parts = _TIME.fullmatch(time)
    if parts is None:
        raise InvalidEventError(f"time has an offset that RFC 3339 does not allow: {short(time)}")
    minutes, seconds, offset = parts.groups()
    if offset != "Z" and ":" not in offset:
        offset = f"{offset[:3]}:{offset[3:]}"
    return f"{minutes}{seconds or ':00'}{offset}"


def _lower(headers: Headers) -> dict[str, str]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    named: dict[str, str] = {}
    for key, value in pairs:
        name = _decoded(key).lower()
        if name in named and (name == "content-type" or name.startswith("ce-")):
            raise InvalidEventError(f"header {short(name)} is there twice")
        named[name] = _decoded(value)
        if (name == "content-type" or name.startswith("ce-")) and _CONTROL.search(named[name]):
            raise InvalidEventError(
                f"header {short(name)} must not hold control characters; they are percent-encoded"
            )
    return named


def _decoded(text: str | bytes) -> str:
    return text.decode("latin-1") if isinstance(text, bytes) else text


def _structured(body: str | bytes) -> dict[str, Any]:
    flat = _json(body, "the body")
    if not isinstance(flat, dict):
        raise InvalidEventError(f"the body must be a JSON object, not {short(flat)}")
    packed = flat.pop("data_base64", None)
    if packed is not None:
        if flat.get("data") is not None:
            raise InvalidEventError("data_base64 must not stand beside data")
        try:
            flat["data"] = _json(b64decode(packed, validate=True), "data_base64")
        except (TypeError, ValueError) as error:
            if isinstance(error, InvalidEventError):
                raise
            raise InvalidEventError(
                f"data_base64 must be base64 text, not {short(packed)}"
            ) from error
    return flat


def _binary(headers: Mapping[str, str], body: str | bytes) -> dict[str, Any]:
    flat: dict[str, Any] = {
        name[3:]: _header_value(name, value)
        for name, value in headers.items()
        if name.startswith("ce-")
    }
    for name in ("data", "datacontenttype"):
        if name in flat:
            raise InvalidEventError(f"header 'ce-{name}' is not allowed; it has a place of its own")
    content_type = headers.get("content-type")
    if content_type:
        flat["datacontenttype"] = _PLAIN_JSON.sub(
            "application/cloudevents+json;", content_type, count=1
        )
    if body:
        flat["data"] = _json(body, "the body")
    return flat


def _header_value(name: str, value: str) -> str:
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeError as error:
        raise InvalidEventError(
            f"header {short(name)} must be percent-encoded UTF-8, not {short(value)}"
        ) from error


def _completed(flat: dict[str, Any]) -> dict[str, Any]:
    """Fill in what CloudEvents leaves out, and undo what was written for strict receivers."""
    if flat.get(RELATIVE_DATASCHEMA) is not None and flat.get("dataschema") is None:
        flat["dataschema"] = flat.pop(RELATIVE_DATASCHEMA)
    for name in _OPTIONAL:
        if flat.get(name) == "":
            flat[name] = None
    content_type = _default(flat, "datacontenttype", ARVO_CONTENT_TYPE)
    if content_type == ARVO_CONTENT_TYPE:
        _default(flat, "to", flat.get("type"))
    _default(flat, "data", {})
    time = _default(flat, "time", event_time_now())
    if isinstance(time, str):
        flat["time"] = time.upper()  # RFC 3339 allows lower case
    for name in _ENCODED:
        if isinstance(flat.get(name), str):
            flat[name] = encode_uri(flat[name])
    if isinstance(flat.get("executionunits"), str):
        flat["executionunits"] = _number(flat["executionunits"])
    return flat


def _default(flat: dict[str, Any], name: str, value: object) -> object:
    if flat.get(name) is None:
        flat[name] = value
    return flat[name]


def _number(text: str) -> int | float:
    if _DECIMAL.fullmatch(text) is None or len(text) > _LONGEST_NUMBER:
        raise InvalidEventError(f"executionunits must be a number, not {short(text)}")
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def _json(text: str | bytes, what: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"{what} is not JSON: {str(error)[:200]}") from error
