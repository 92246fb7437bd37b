"""Pace: how fast a queue is worked through here, and so how much may be claimed ahead."""

from __future__ import annotations

AHEAD_SECONDS = 0.05
"""What is claimed ahead is expected to start within this time."""

MOST_AHEAD = 500
"""Most deliveries that are claimed ahead for one queue, unless its options say less."""

_HALF_LIFE_SECONDS = 0.25


class Pace:
    """Counts what is finished per second at work, with recent work weighing more.

    Args:
        most: most deliveries ahead; None for the usual.
        width: how many can run at the same time.
    """

    __slots__ = ("_ahead", "_busy", "_finished", "_most", "_run", "_since", "_width", "done", "ran")

    def __init__(self, most: int | None, width: int) -> None:
        self._most = MOST_AHEAD if most is None else most
        self._width = width
        self._since: float | None = None
        self._busy = 0.0
        self._finished = 0.0
        self._run = 0.0
        self._ahead = 0
        self.done = 0
        """Deliveries finished since the pace was last looked at."""
        self.ran = 0.0
        """Seconds that they ran."""

    def begin(self, now: float) -> None:
        """There is work."""
        if self._since is None:
            self._since = now

    def end(self, now: float) -> None:
        """There is no work any more: time that passes does not count."""
        if self._since is not None:
            self._add(now - self._since)
            self._since = None

    def ahead(self, now: float) -> int:
        """How many deliveries to have beside those that can run at once.

        None until something has finished, and at most twice as many as the last time, so that the
        first impression need not be right; none while runs take longer than ``AHEAD_SECONDS``.
        """
        if self._most == 0:
            return 0
        if self._since is not None:
            self._add(now - self._since)
            self._since = now
        if self._finished <= 0 or self._run >= AHEAD_SECONDS * self._finished:
            self._ahead = 0
        else:
            rate = self._finished / max(self._busy, 1e-6)
            start = self._width + 2 * self._ahead
            self._ahead = min(self._most, int(rate * AHEAD_SECONDS), start)
        return self._ahead

    def _add(self, seconds: float) -> None:
        fade = 0.5 ** (seconds / _HALF_LIFE_SECONDS)
        self._busy = self._busy * fade + seconds
        self._finished = self._finished * fade + self.done
        self._run = self._run * fade + self.ran
        self.done = 0
        self.ran = 0.0
