"""Attributes: what every event has, and the limits of the whole."""

from __future__ import annotations

from typing import Any, Final

MAX_EVENT_BYTES: Final = 1_048_576
"""The longest JSON text of an event, in bytes of UTF-8; the database keeps the same limit."""

ARVO_CONTENT_TYPE: Final = "application/cloudevents+json;charset=UTF-8;profile=arvo"

CORE_ATTRIBUTES: Final = (
    "id",
    "source",
    "specversion",
    "type",
    "subject",
    "datacontenttype",
    "dataschema",
    "data",
    "time",
)
ARVO_ATTRIBUTES: Final = (
    "to",
    "accesscontrol",
    "redirectto",
    "executionunits",
    "traceparent",
    "tracestate",
    "parentid",
    "domain",
)
ATTRIBUTES: Final = frozenset(CORE_ATTRIBUTES + ARVO_ATTRIBUTES)
"""The 17 attribute names; no extension may bear one of them."""

DEFAULTS: Final[dict[str, Any]] = dict.fromkeys(CORE_ATTRIBUTES + ARVO_ATTRIBUTES) | {
    "specversion": "1.0",
    "datacontenttype": ARVO_CONTENT_TYPE,
}
"""What an attribute is that is not given, in the order of all; None where there is no default."""
