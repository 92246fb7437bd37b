"""Reading: events out of a stream of JSON, one by one, however long the stream is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TextIO

from arvo_plpg.attributes import MAX_EVENT_BYTES
from arvo_plpg.event import ArvoEvent, create_arvo_event
from arvo_plpg.model_error import InvalidEventError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arvo_plpg.errors import ArvoError

_CHUNK = 1 << 16
_LONGEST = 4 * MAX_EVENT_BYTES
"""Characters that one value may take up in the stream; an event has a shorter limit of its own."""
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")


class Values:
    """The values of a stream: one beside the other, one a line, or in one array.

    Args:
        stream: where they are read from.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self._at = 0
        self._ended = False
        self._values = 0
        self.characters = 0
        """How many characters have been read."""

    def __iter__(self) -> Iterator[Any]:
        inside = self._next_sign() == "["
        if inside:
            self._at += 1
        first = True
        while (sign := self._next_sign()) and not (inside and sign == "]"):
            if inside and not first:
                if sign != ",":
                    raise self._fault("a comma or the end of the array is missing")
                self._at += 1
                self._next_sign()
            yield self._value()
            self._values += 1
            first = False
        if inside:
            if not sign:
                raise self._fault("the array does not end")
            self._at += 1
            if self._next_sign():
                raise self._fault("something stands behind the array")

    def _more(self) -> bool:
        if self._ended:
            return False
        try:
            read = self._stream.read(_CHUNK)
        except UnicodeDecodeError as error:
            raise self._fault(f"not UTF-8: {error.reason}") from error
        self._ended = not read
        self._text = self._text[self._at :] + read
        self._at = 0
        self.characters += len(read)
        return bool(read)

    def _next_sign(self) -> str:
        while True:
            blank = _SPACE.match(self._text, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> Any:  # noqa: ANN401 - JSON
        """Read one value; a longer piece is tried only when it has doubled, so time is linear."""
        decoder = json.JSONDecoder()
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
            except (json.JSONDecodeError, RecursionError) as error:
                tried = len(self._text) - self._at
                if isinstance(error, RecursionError) or tried > _LONGEST:
                    raise self._fault(f"no JSON: {_reason(error)}") from None
                grown = False
                while len(self._text) - self._at < 2 * tried and self._more():
                    grown = True
                if not grown:
                    raise self._fault(f"no JSON: {_reason(error)}") from None
                continue
            # A number at the end of what has been read may go on.
            if end == len(self._text) and not isinstance(value, dict | list) and self._more():
                continue
            self._at = end
            return value

    def _fault(self, detail: str) -> ArvoError:
        return InvalidEventError(
            "the events cannot be read",
            detail=f"{detail}; after event {self._values}" if self._values else detail,
            hint="Give one JSON object, one a line, or one array of objects.",
        )


def _reason(error: Exception) -> str:
    # Its line and column would be those of what is in memory, not of the file.
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def event_of(value: object) -> ArvoEvent:
    """Make an event of a JSON value; what it does not say gets its default, id and time as well.

    Raises:
        InvalidEventError: it is not an event.
    """
    if not isinstance(value, dict):
        raise InvalidEventError(
            "the event is not valid",
            detail=f"it is {'null' if value is None else type(value).__name__}, not an object",
        )
    if "id" in value and "time" in value and "specversion" in value:
        return ArvoEvent.from_dict(value)
    needed = {name: value[name] for name in ("source", "type", "subject", "data") if name in value}
    if len(needed) < 4:  # noqa: PLR2004
        return ArvoEvent.from_dict(value)  # which says what is missing
    filled = create_arvo_event(
        source="arvo-plpg", type="com.arvo.default", subject="default", data={}
    ).to_dict()
    filled.pop("traceparent", None)
    filled.pop("tracestate", None)
    filled["to"] = value.get("type")
    return ArvoEvent.from_dict(filled | value)
