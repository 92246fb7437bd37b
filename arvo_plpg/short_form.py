"""The short form of a value that is wrong, for an error: one line, however long the value is."""

from __future__ import annotations

from reprlib import Repr
from typing import Final

_SHOWN: Final = 80
_BOUNDED: Final = Repr()
_BOUNDED.maxlevel = 4
_BOUNDED.maxstring = _BOUNDED.maxother = _BOUNDED.maxlong = 2 * _SHOWN


def short(value: object) -> str:
    """Give a value as Python would write it in ASCII, cut off after some characters and levels."""
    if isinstance(value, str):
        shown = ascii(value)
    else:
        shown = _BOUNDED.repr(value).encode("ascii", "backslashreplace").decode()
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
