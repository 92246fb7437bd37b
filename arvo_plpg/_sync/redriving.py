# Pressed from _async/redriving.py by tools/unasync.py. Edit that file, not this one.
"""Redriving: dead letters: list them, put them back, let them go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.rows import DeadLetter, Redriven

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg._sync.session import Session


class Redriving:
    """Part of :class:`~arvo_plpg._sync.broker.Broker`."""

    _session: Session

    def dead_letters(
        self,
        queue: str | None = None,
        *,
        after: int | None = None,
        limit: int | None = None,
        resolved: bool | None = None,
    ) -> list[DeadLetter]:
        """Dead letters of a queue, or that a dead-letter queue received, page by page."""
        return self._session.rows(
            DeadLetter, "dead_letters", queue=queue, after=after, limit=limit, resolved=resolved
        )

    def redrive(
        self,
        queue: str | None = None,
        *,
        dead: Sequence[int] | None = None,
        limit: int | None = None,
        dry_run: bool | None = None,
    ) -> list[Redriven]:
        """Put dead letters back into the queues they failed in, by number or by queue."""
        return self._session.rows(
            Redriven,
            "redrive",
            queue=queue,
            dead=None if dead is None else list(dead),
            limit=limit,
            dry_run=dry_run,
        )
