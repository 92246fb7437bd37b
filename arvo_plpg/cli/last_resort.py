"""Last resort: the end of a process that does not end by itself."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time

_TELL_SECONDS = 1.0


class LastResort:
    """Ends the process by force when its time is up, whatever its other threads do.

    A handler may block the event loop, hold on to its task, or sit in a thread that the interpreter
    waits for: none of them may keep a worker from its end.
    """

    def __init__(self) -> None:
        # Its put() may be called by the handler of a signal.
        self._told: queue.SimpleQueue[tuple[float, int]] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="arvo-last-resort", daemon=True).start()

    def within(self, seconds: float, code: int = 1) -> None:
        """End the process in so many seconds, or earlier if that was said before.

        Args:
            seconds: from now on.
            code: the exit code then.
        """
        self._told.put((time.monotonic() + seconds, code))

    def _watch(self) -> None:
        ends_at, code = self._told.get()
        while (left := ends_at - time.monotonic()) > 0:
            try:
                sooner, other = self._told.get(timeout=min(left, threading.TIMEOUT_MAX))
            except queue.Empty:
                continue
            if sooner < ends_at:
                ends_at, code = sooner, other
        if code:
            # In a thread, since whoever keeps the process from its end may hold the log as well.
            telling = threading.Thread(target=_tell, daemon=True)
            telling.start()
            telling.join(_TELL_SECONDS)
        os._exit(code)


def _tell() -> None:
    logging.getLogger("arvo_plpg").error("did not end in time: ended by force")
