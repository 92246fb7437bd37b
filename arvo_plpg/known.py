"""Known: texts that keep a rule, remembered: names of services and types come again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 1000
_LONGEST: Final = 200


class Known:
    """Remembers which texts keep a rule; only short ones, and not too many.

    Args:
        keeps: says whether a text keeps it.
    """

    __slots__ = ("_keeps", "_texts")

    def __init__(self, keeps: Callable[[str], bool]) -> None:
        self._keeps = keeps
        self._texts: set[str] = set()

    def has(self, text: object) -> bool:
        """Say whether it is a text, of no subclass, and keeps the rule."""
        if type(text) is not str:
            return False
        if text in self._texts:
            return True
        if not self._keeps(text):
            return False
        if len(text) <= _LONGEST:
            if len(self._texts) >= _MOST:
                self._texts.clear()
            self._texts.add(text)
        return True
