"""JSON as PostgreSQL's ``jsonb`` can keep it, for arguments of the contract's functions."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from arvo_plpg.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arvo_plpg.event import ArvoEvent

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_compact = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def as_json(value: object, *, field: str | None = None) -> str:
    """Give the text of a value as JSON that the database can keep.

    Args:
        value: what to write.
        field: the argument that it is, for the error.

    Raises:
        InvalidArgument: NaN, an infinity, NUL, a lone surrogate, or an object that is not JSON.
    """
    try:
        text = _compact(value)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            "a value cannot be stored as JSON",
            detail=f"{type(error).__name__}: {str(error)[:200]!a}",
            hint="Use JSON only, without NaN, infinities, NUL and lone surrogates.",
            field=field,
        ) from error
    if "\\u0000" in text and _NUL.search(text):
        raise InvalidArgument(
            "a value cannot be stored as JSON",
            detail="a text holds a NUL character",
            hint="Remove it: jsonb cannot keep it.",
            field=field,
        )
    return text


def as_jsonb(value: object) -> Jsonb:
    """Wrap a value for a ``jsonb`` argument; see :func:`as_json` for what is refused."""
    return Jsonb(as_json(value), dumps=str)


def event_json(event: ArvoEvent) -> bytes:
    """Give the text of an event, without writing it again when its validation has.

    Raises:
        InvalidArgument: as :func:`as_json`, for an event that was not validated.
    """
    return event.validated_json or as_json(event.to_dict(), field="event").encode()


def as_event(event: ArvoEvent) -> Jsonb:
    """Wrap an event for a ``jsonb`` argument."""
    return Jsonb(event_json(event), dumps=bytes)


def as_events(texts: Iterable[bytes]) -> Jsonb:
    """Wrap texts of events for a ``jsonb`` argument that is an array."""
    return Jsonb(b"[%b]" % b",".join(texts), dumps=bytes)
