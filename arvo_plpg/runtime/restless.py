"""Restless: a sleeper that is woken for nothing, again and again, and had better not be asleep.

Commits that notify queue up behind one lock of the whole server. With a queue that is paused, or
has no room, every dispatch would notify, and its sleepers would find nothing. So after some such
wake-ups in close succession a worker stays awake for a while: it looks by itself, in steps that
grow, and nobody notifies it. When it has gone to sleep again and the first wake-up comes soon, it
stays awake for longer.

Whoever is awake still hears what others are woken by. When that comes in close succession, it says
as much as wake-ups of its own, so it stays awake: of many workers, few try in turn.
"""

from __future__ import annotations

from math import inf

_SOON_SECONDS = 0.02
_ENOUGH = 5
_FIRST_STEP_SECONDS = 0.003
_LONGEST_STEP_SECONDS = 0.035
_FIRST_AWAKE_SECONDS = 0.5
_LONGEST_AWAKE_SECONDS = 4.0
_GROWTH = 4


class Restless:
    """Counts wake-ups, and says when to look instead. Times are those of one clock, in seconds."""

    __slots__ = ("_awake", "_heard", "_in_a_row", "_rung", "_since", "_step", "_until")

    def __init__(self) -> None:
        self._since = -inf
        self._heard = -inf
        self._rung = False
        self._in_a_row = 0
        self._awake = _FIRST_AWAKE_SECONDS
        self._until = -inf
        self._step = _FIRST_STEP_SECONDS

    def asleep(self, now: float) -> None:
        """The worker is registered now."""
        self._since = now
        self._rung = False

    def rung(self, now: float) -> bool:
        """A wake-up has come; say whether to be awake at once, before it is known what for."""
        if not self._rung:
            self._rung = True
            if now - self._since < _SOON_SECONDS:
                self._in_a_row += 1
            else:
                self._in_a_row = 0
                self._awake = _FIRST_AWAKE_SECONDS
        return self._in_a_row >= _ENOUGH

    def overheard(self, now: float) -> None:
        """Somebody else is woken, while this one is awake."""
        if now - self._heard < _SOON_SECONDS:
            self._until = max(self._until, now + self._awake)
        self._heard = now

    def found(self) -> None:
        """The worker has found something: because it was woken, or all the same."""
        if self._rung:
            self._in_a_row = 0
            self._rung = False
        self._step = _FIRST_STEP_SECONDS

    def found_nothing(self, now: float) -> None:
        """It has looked in vain, because it was woken or all the same."""
        if not self._rung:
            return
        self._rung = False
        self._since = now
        if self._in_a_row >= _ENOUGH:
            self._in_a_row = _ENOUGH - 1
            self._until = now + self._awake
            self._awake = min(self._awake * _GROWTH, _LONGEST_AWAKE_SECONDS)
            self._step = _FIRST_STEP_SECONDS

    def awake(self, now: float) -> bool:
        """Whether it is not to go to sleep now."""
        return now < self._until

    def step(self) -> float:
        """Seconds until it is to look by itself."""
        step = self._step
        self._step = min(2 * step, _LONGEST_STEP_SECONDS)
        return step
