"""Rest: where the worker's loop waits until its next call of the database is due."""

from __future__ import annotations

import asyncio
import time
from math import inf


class Rest:
    """One waiter at a time, who can be called earlier.

    A call that comes while nobody waits counts for the next one who does: what it is about may have
    happened after he looked whether there is anything to do.

    Attributes:
        until: when the waiter will go on by itself; minus infinity while nobody waits.
    """

    __slots__ = ("_called", "_waiter", "until")

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None
        self._called = False
        self.until = -inf

    async def wait(self, until: float) -> None:
        """Wait until that time of :func:`time.monotonic`, or until :meth:`end`."""
        if self._called:
            self._called = False
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(max(until - time.monotonic(), 0.0), self.end)
        self.until = until
        try:
            await self._waiter
        finally:
            self.until = -inf
            self._waiter = None
            timer.cancel()

    def end(self) -> None:
        """Let the waiter go on, or the next one if there is none."""
        if self._waiter is None:
            self._called = True
        elif not self._waiter.done():
            self._waiter.set_result(None)
