"""Progress: one line on standard error, on a terminal only, for what takes long."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from arvo_plpg.cli.plain import number, rate, span

if TYPE_CHECKING:
    from types import TracebackType

from datetime import timedelta

_WIDTH = 24
_RHYTHM_SECONDS = 0.1


class Progress:
    """A bar where the whole is known, a count where it is not; gone when it ends.

    Args:
        what: what is counted, in the plural.
        whole: how many there are; None when nobody knows.
    """

    def __init__(self, what: str, whole: int | None = None) -> None:
        self._what = what
        self._whole = whole
        self._stream = sys.stderr
        self._shown = self._stream.isatty()
        self._began = time.monotonic()
        self._drawn = 0.0
        self.done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def advance(self, by: int = 1, *, share: float | None = None) -> None:
        """Count, and draw when it is time.

        Args:
            by: how many more are done.
            share: how much of the whole that is by now, 0 to 1, when their number is not known.
        """
        self.done += by
        now = time.monotonic()
        if not self._shown or now - self._drawn < _RHYTHM_SECONDS:
            return
        self._drawn = now
        if share is None and self._whole:
            share = min(self.done / self._whole, 1.0)
        seconds = max(now - self._began, 0.001)
        words = [f"{number(self.done)} {self._what}", f"{rate(round(self.done / seconds))}/s"]
        if share:
            filled = round(share * _WIDTH)
            words.insert(0, f"{'━' * filled}{'╌' * (_WIDTH - filled)} {share:4.0%}")
            words.append(f"{span(timedelta(seconds=seconds / share - seconds))} left")
        self._stream.write("\r\x1b[K" + "  ".join(words))
        self._stream.flush()
