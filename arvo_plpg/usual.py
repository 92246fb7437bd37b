"""Usual: the quick check of an event that has nothing unusual about it.

Nearly every event has attributes of the plain types, Arvo's content type and no extensions. That it
keeps the rules is seen here in less than half of the time that the validation takes. Whatever is
unusual, or breaks a rule, is left to that, which also says what is wrong: each check here must be
at least as strict.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from arvo_plpg.attributes import ARVO_CONTENT_TYPE, DEFAULTS, MAX_EVENT_BYTES
from arvo_plpg.frozen import freeze_plain
from arvo_plpg.known import Known
from arvo_plpg.pattern import is_domain, is_event_time, is_event_type
from arvo_plpg.uri import is_uri, known_uri

if TYPE_CHECKING:
    from arvo_plpg.frozen import FrozenDict

_type = Known(is_event_type).has
_domain = Known(is_domain).has


def usual_event(fields: dict[str, Any]) -> tuple[dict[str, Any], FrozenDict, bytes] | None:
    """Check an event whose attributes are given; None if it is unusual, or not valid.

    Args:
        fields: the attributes, by name; what may be left out may be missing.

    Returns:
        All 17 attributes in their order, with ``data`` as given; ``data`` frozen; and the JSON
        text of the whole.
    """
    whole = DEFAULTS | fields
    if len(whole) != len(DEFAULTS):
        return None
    (
        number,
        source,
        version,
        kind,
        subject,
        content_type,
        dataschema,
        data,
        time,
        to,
        accesscontrol,
        redirectto,
        units,
        traceparent,
        tracestate,
        parentid,
        domain,
    ) = whole.values()
    if (
        type(data) is not dict
        or not (type(number) is str and number)
        or not (type(version) is str and version == "1.0")
        or not (type(content_type) is str and content_type == ARVO_CONTENT_TYPE)
        or not (type(subject) is str and is_uri(subject))
        or not (type(time) is str and is_event_time(time))
        or not (known_uri(source) and known_uri(to) and _type(kind))
        or not (dataschema is None or known_uri(dataschema))
        or not (redirectto is None or known_uri(redirectto))
        or not (domain is None or _domain(domain))
        or not (accesscontrol is None or (type(accesscontrol) is str and accesscontrol))
        or not (traceparent is None or (type(traceparent) is str and traceparent))
        or not (tracestate is None or (type(tracestate) is str and tracestate))
        or not (parentid is None or (type(parentid) is str and parentid))
        or not (units is None or type(units) is int or (type(units) is float and isfinite(units)))
    ):
        return None
    try:
        frozen = freeze_plain(data)
        written = to_json(whole)
    except ValueError:  # something that is not plain; a lone surrogate
        return None
    if len(written) > MAX_EVENT_BYTES or b"\\u0000" in written:
        return None
    return whole, frozen, written
