"""Event ids: how they are made and read (section 1.4 of the semantics)."""

from __future__ import annotations

import base64
import json
import os
import zlib
from dataclasses import dataclass
from typing import Literal

Deduplication = Literal["ARVO_MANAGED", "DEVELOPER_MANAGED"]

_RANDOM_BITS = 0xFFFFFFFF_FFFF_0FFF_3FFF_FFFFFFFFFFFF
_VERSION_4 = 0x00000000_0000_4000_8000_000000000000
_MAX_TEXT = 65_536
_GZIP_OR_ZLIB = 47


@dataclass(frozen=True, slots=True)
class EventId:
    """How the id of an event is to be made.

    Attributes:
        deduplication: ``DEVELOPER_MANAGED`` uses the value as the id, verbatim;
            ``ARVO_MANAGED`` packs it together with a fresh UUID.
        value: the developer's key. A blank one gives a plain UUID.
    """

    deduplication: Deduplication
    value: str


@dataclass(frozen=True, slots=True)
class ArvoManagedId:
    """The content of an ``ARVO_MANAGED`` id."""

    uuid: str
    value: str


def _random_uuid() -> str:
    """Give the text of a random UUID as :func:`uuid.uuid4` makes it, in half of its time."""
    digits = f"{int.from_bytes(os.urandom(16)) & _RANDOM_BITS | _VERSION_4:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def create_arvo_event_id(wish: EventId | str | None = None) -> str:
    """Make an event id.

    Args:
        wish: a strategy; a text, taken as ``DEVELOPER_MANAGED``; or None for a UUID.
    """
    if wish is None:
        return _random_uuid()
    if isinstance(wish, str):
        wish = EventId("DEVELOPER_MANAGED", wish)
    value = wish.value.strip()
    if not value:
        return _random_uuid()
    if wish.deduplication == "DEVELOPER_MANAGED":
        return value
    content = json.dumps(
        {"uuid": _random_uuid(), "value": value}, ensure_ascii=False, separators=(",", ":")
    )
    return base64.b64encode(zlib.compress(content.encode(), 6)).decode()


def parse_arvo_event_id(text: str) -> ArvoManagedId | None:
    """Read an ``ARVO_MANAGED`` id; None for any other id, such as a plain UUID."""
    try:
        packed = base64.b64decode(text, validate=True)
        content = json.loads(zlib.decompressobj(_GZIP_OR_ZLIB).decompress(packed, _MAX_TEXT))
    except (ValueError, zlib.error, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    uuid, value = content.get("uuid"), content.get("value")
    if isinstance(uuid, str) and isinstance(value, str):
        return ArvoManagedId(uuid, value)
    return None
