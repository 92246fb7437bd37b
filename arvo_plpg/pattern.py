"""The text patterns of Arvo (sections 1.1, 2.1 and 3.1 of the semantics)."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

EVENT_TYPE_PATTERN: Final = r"^[a-z0-9]+(\.[a-z0-9]+)+\.[a-z0-9]+$"
DOMAIN_PATTERN: Final = r"^[a-z0-9.]+$"
VERSION_PATTERN: Final = r"^[0-9]+\.[0-9]+\.[0-9]+$"
EXTENSION_KEY = re.compile(r"[a-z0-9]+")

_TYPE = re.compile(EVENT_TYPE_PATTERN[1:-1])
_DOMAIN = re.compile(DOMAIN_PATTERN[1:-1])
_VERSION = re.compile(VERSION_PATTERN[1:-1])
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})"
)


def is_event_type(text: str) -> bool:
    """Say whether a text is a type: at least three lower-case segments joined by dots."""
    return _TYPE.fullmatch(text) is not None


def is_domain(text: str) -> bool:
    """Say whether a text can name a domain: lower-case letters, digits, dots."""
    return _DOMAIN.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Say whether a text is a version: three numbers joined by dots."""
    return _VERSION.fullmatch(text) is not None


def version_key(version: str) -> tuple[int, ...]:
    """Give the numeric sort key of a version."""
    return tuple(int(part) for part in version.split("."))


def is_event_time(text: str) -> bool:
    """Say whether a text is a date and time with an offset, on a day that the calendar has."""
    if _TIME.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True
