"""Backoff: how long to wait before the next attempt to reconnect."""

from __future__ import annotations

import random


class Backoff:
    """Exponential with full jitter: a random time up to a bound that doubles each time.

    Args:
        first: first bound, in seconds.
        most: largest bound, in seconds.
    """

    def __init__(self, first: float = 0.1, most: float = 10.0) -> None:
        self._first = first
        self._most = most
        self._bound = first

    def next(self) -> float:
        """Seconds to wait now."""
        wait = random.uniform(self._bound / 10, self._bound)  # noqa: S311 - jitter, no secret
        self._bound = min(self._bound * 2, self._most)
        return wait

    def reset(self) -> None:
        """Begin again with the first bound."""
        self._bound = self._first
