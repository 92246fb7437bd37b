# Pressed from _async/monitoring.py by tools/unasync.py. Edit that file, not this one.
"""Monitoring: what is going on: figures of queues, stories of workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.rows import QueueStats, Step

if TYPE_CHECKING:
    from arvo_plpg._sync.session import Session


class Monitoring:
    """Part of :class:`~arvo_plpg._sync.broker.Broker`."""

    _session: Session

    def queue_stats(self, queue: str | None = None) -> list[QueueStats]:
        """Live numbers of one queue, or of all."""
        return self._session.rows(QueueStats, "queue_stats", queue=queue)

    def trace(self, subject: str | None = None, *, event_id: str | None = None) -> list[Step]:
        """Every delivery of every event of a workflow's tree."""
        return self._session.rows(Step, "trace", subject=subject, event_id=event_id)
