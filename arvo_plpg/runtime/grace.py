"""Grace: how long what runs may go on at the end of a worker."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_LONGEST_SECONDS = 3600.0  # what every clock of an event loop can count


class Grace:
    """A period that may be shortened while somebody waits, and never gets longer.

    Args:
        seconds: how long it is, from now on.

    """

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._shortened = asyncio.Event()
        self._hurried = False
        self._following: Grace | None = None
        self._hurried_seconds = inf

    @property
    def left(self) -> float:
        """Seconds until it is over; 0 or less when it is."""
        return self._ends_at - time.monotonic()

    def shorten(self, seconds: float) -> None:
        """Let it be over in so many seconds, if that is earlier; with 0, hurry what follows too."""
        ends_at = time.monotonic() + seconds
        if ends_at < self._ends_at:
            self._ends_at = ends_at
            self._shortened.set()
        if seconds <= 0:
            self._hurried = True
            if self._following is not None:
                self._following.shorten(self._hurried_seconds)

    def then(self, seconds: float, *, hurried: float) -> Grace:
        """Give the period that follows this one.

        Args:
            seconds: how long it is.
            hurried: how long it is at most from when somebody shortens this one to nothing.
        """
        self._following = Grace(min(seconds, hurried) if self._hurried else seconds)
        self._hurried_seconds = hurried
        return self._following

    async def wait(self, running: Callable[[], Collection[asyncio.Task[Any]]]) -> None:
        """Wait until nothing runs any more, or it is over.

        Args:
            running: gives the tasks that run; asked again whenever one of them has ended.
        """
        shortened = asyncio.create_task(self._shortened.wait())
        try:
            while (tasks := running()) and (left := self.left) > 0:
                if shortened.done():
                    self._shortened.clear()
                    shortened = asyncio.create_task(self._shortened.wait())
                await asyncio.wait(
                    [shortened, *tasks],
                    timeout=min(left, _LONGEST_SECONDS),
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            shortened.cancel()
