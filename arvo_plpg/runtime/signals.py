"""Signals: how a process is told to end, once or with emphasis."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from arvo_plpg.errors import ArvoError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from arvo_plpg.runtime.log_fields import Logger

    Stop = Callable[[float], Coroutine[Any, Any, None]]

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Counts SIGTERM and SIGINT while it is entered; then the handlers of before are put back.

    These are handlers of the interpreter, not of the event loop, so that they are called also while
    something blocks the loop.

    Args:
        told: called with the count at each signal, in the main thread, between any two steps.

    Attributes:
        count: how many have come.
        first: set by the first of them.
    """

    def __init__(self, told: Callable[[int], object] | None = None) -> None:
        self._told = told
        self._before: dict[signal.Signals, Any] = {}
        self.first, self._second = asyncio.Event(), asyncio.Event()
        self.count = 0

    def __enter__(self) -> Self:
        """Begin to count.

        Raises:
            ArvoError: this is not the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ArvoError(
                "signals reach the main thread only",
                detail=f"this is thread {threading.current_thread().name!a}",
                hint="Wait for signals in the main thread, and from there have the broker stop: "
                "asyncio.run_coroutine_threadsafe(broker.stop(), loop).",
            )
        self._loop = asyncio.get_running_loop()
        for number in NUMBERS:
            self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None: it was not installed from Python, and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    async def wait_or(self, event: asyncio.Event) -> None:
        """Wait for the first signal, or for an event."""
        waiting = [asyncio.create_task(one.wait()) for one in (self.first, event)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def stop(self, stop: Stop, grace: float, logger: Logger) -> None:
        """Stop something, and do so at once when a signal comes that is not the first.

        Args:
            stop: is given the seconds that it may take; may be called again while it runs.
            grace: these seconds.
            logger: is told.
        """
        logger.info("worker is stopping")
        stopping = asyncio.create_task(stop(grace))
        second = asyncio.create_task(self._second.wait())
        try:
            await asyncio.wait([stopping, second], return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                logger.warning("stopping at once; what still runs goes back to its queue")
                await stop(0)
            await stopping
        finally:
            second.cancel()
            if not stopping.done():
                stopping.cancel()
                await asyncio.wait([stopping])

    def _signalled(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.count += 1
        self._loop.call_soon_threadsafe((self.first if self.count == 1 else self._second).set)
        if self._told is not None:
            self._told(self.count)
