"""Over: workflows that are finished, whose states are to be forgotten."""

from __future__ import annotations

from collections import deque
from math import inf

PAUSE_SECONDS = 10.0
"""How long nothing is cleaned up after a clean-up that was refused, or that had to wait."""

_MOST_LATE = 10_000


class Over:
    """Their subjects; what could not be forgotten is tried again when there is nothing newer.

    Nothing waits for a clean-up: one that somebody holds up costs a moment now and then, and those
    that are refused for ever are given up when there are many.
    """

    __slots__ = ("_fresh", "_late", "_paused_until")

    def __init__(self) -> None:
        self._fresh: deque[str] = deque()
        self._late: deque[str] = deque(maxlen=_MOST_LATE)
        self._paused_until = -inf

    @property
    def due(self) -> float:
        """When the next is to be tried; never, if there is none."""
        return self._paused_until if self._fresh or self._late else inf

    def add(self, subject: str) -> None:
        """A workflow is finished."""
        self._fresh.append(subject)

    def next(self, now: float) -> str | None:
        """Give the subject to clean up now; it stays the next until it is done or put off."""
        if now < self.due:
            return None
        return self._lane[0]

    def done(self) -> None:
        """The next one is cleaned up."""
        self._lane.popleft()

    def put_off(self, now: float) -> None:
        """The next one could not be cleaned up."""
        self._late.append(self._lane.popleft())
        self._paused_until = now + PAUSE_SECONDS

    def take(self) -> list[str]:
        """Take all of them, for a last try; the newest workflows come first."""
        subjects = [*self._fresh, *self._late]
        self._fresh.clear()
        self._late.clear()
        return subjects

    @property
    def _lane(self) -> deque[str]:
        return self._fresh or self._late
