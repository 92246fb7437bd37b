"""Monitoring: what is going on: figures of queues, stories of workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.rows import QueueStats, Step

if TYPE_CHECKING:
    from arvo_plpg._async.session import Session


class Monitoring:
    """Part of :class:`~arvo_plpg._async.broker.Broker`."""

    _session: Session

    async def queue_stats(self, queue: str | None = None) -> list[QueueStats]:
        """Live numbers of one queue, or of all."""
        return await self._session.rows(QueueStats, "queue_stats", queue=queue)

    async def trace(self, subject: str | None = None, *, event_id: str | None = None) -> list[Step]:
        """Every delivery of every event of a workflow's tree."""
        return await self._session.rows(Step, "trace", subject=subject, event_id=event_id)
