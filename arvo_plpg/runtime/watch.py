"""Watch: cancels handlers that run too long; one timer for all of them."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_EARLY_SECONDS = 0.0005


class Watched(Protocol):
    """What runs until a deadline."""

    deadline: float

    def expire(self) -> None:
        """Be told that the deadline has passed."""
        ...


class Watch:
    """Tells each that it is watched for when its deadline has passed.

    The timer stands at the earliest deadline that was seen when it was last looked at. That one has
    mostly ended meanwhile, and the timer moves on: it is set once per deadline's length, not once
    per run.
    """

    __slots__ = ("_at", "_loop", "_timer", "_watched")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._at = inf

    def __iter__(self) -> Iterator[Watched]:
        return iter(self._watched)

    def begin(self, watched: Watched, deadline: float) -> None:
        """Watch until :meth:`end`."""
        watched.deadline = deadline
        self._watched.add(watched)
        if deadline < self._at:
            self._move(deadline)

    def end(self, watched: Watched) -> None:
        """Watch no longer."""
        self._watched.discard(watched)

    def stop(self) -> None:
        """Watch nobody any more."""
        self._watched.clear()
        self._move(inf)

    def _look(self) -> None:
        now = self._loop.time() + _EARLY_SECONDS
        late = [watched for watched in self._watched if watched.deadline <= now]
        self._watched.difference_update(late)
        self._move(min((watched.deadline for watched in self._watched), default=inf))
        for watched in late:
            watched.expire()

    def _move(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = None if at == inf else self._loop.call_at(at, self._look)
