"""The short form of a value that is wrong, for an error: one line, however long the value is."""

from __future__ import annotations

from typing import Final

_SHOWN: Final = 80


def short(value: object) -> str:
    """Give a value as Python would write it in ASCII, cut off after some characters."""
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
