"""The URI rule of Arvo: text that percent-decoding and encoding again leaves as it is.

Section 1.2 of the semantics defines it by JavaScript's ``encodeURI`` and ``decodeURI``. Those texts
form a regular language, written out here, so that one pattern serves pydantic and PostgreSQL alike:
characters that need no escape, or upper-case escapes of well-formed UTF-8 that do need one.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from arvo_plpg.known import Known
from arvo_plpg.model_error import InvalidEventError

_SAFE = "-_.!~*'();/?:@&=+$,#"
_TAIL = "%[89AB][0-9A-F]"

URI_PATTERN = (
    r"^(?:[A-Za-z0-9\-_.!~*'();/?:@&=+$,#]"
    r"|%(?:[01][0-9A-F]|2[025]|3[CE]|5[B-E]|60|7[B-DF])"
    rf"|%(?:C[2-9A-F]|D[0-9A-F]){_TAIL}"
    rf"|%(?:E0%[AB][0-9A-F]|E[1-9A-CEF]{_TAIL}|ED%[89][0-9A-F]){_TAIL}"
    rf"|%(?:F0%[9AB][0-9A-F]|F[1-3]{_TAIL}|F4%8[0-9A-F]){_TAIL}{_TAIL})+$"
)
# The same, which never goes back: what has matched would not match otherwise.
_URI = re.compile(URI_PATTERN[1:-1].replace("#]|%", "#]++|%", 1) + "+")


def is_uri(text: str) -> bool:
    """Say whether a text obeys the URI rule (the empty text does not)."""
    return _URI.fullmatch(text) is not None


known_uri = Known(is_uri).has
"""Say whether something is a text that obeys the URI rule; quick for one that comes again."""


def encode_uri(text: str) -> str:
    """Percent-encode a text once.

    A text that already obeys the rule is returned as it is. Upstream encodes it again, so that a
    subject with a ``%`` changes at every hop.

    Raises:
        InvalidEventError: the text holds a lone surrogate.
    """
    if _URI.fullmatch(text):
        return text
    try:
        return quote(text, safe=_SAFE)
    except UnicodeEncodeError as error:
        raise InvalidEventError(
            f"{text!r} holds a lone surrogate, which no UTF-8 text can; remove it"
        ) from error
