"""Monitoring: what is going on: figures of queues, stories of workflows, reasons, who is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arvo_plpg.jsonb import as_jsonb
from arvo_plpg.rows import Explanation, Gauge, HistoryEntry, Presence, QueueStats, Step, Vital

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

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

    async def history(
        self,
        queue: str | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> list[HistoryEntry]:
        """Every delivery of the log that is kept, with its event, page by page.

        Args:
            queue: only of this one.
            after: position of the last row of the page before.
            limit: rows of a page, 1 to 10,000.
            since: accepted then or later.
            before: accepted earlier.
        """
        return await self._session.rows(
            HistoryEntry,
            "history",
            queue=queue,
            after=after,
            limit=limit,
            since=since,
            before=before,
        )

    async def explain_delivery(self, delivery: int) -> list[Explanation]:
        """Every reason why a delivery does not run now, or what became of it."""
        return await self._session.rows(Explanation, "explain_delivery", delivery=delivery)

    async def health(self) -> list[Vital]:
        """What an operator should know, topic by topic: ok, notice or warning."""
        return await self._session.rows(Vital, "health")

    async def gauges(self, most: int | None = None) -> list[Gauge]:
        """Every figure for a monitoring system; of so many queues one by one, 1,000 by default."""
        return await self._session.rows(Gauge, "gauges", most=most)

    async def workers(self) -> list[Presence]:
        """The processes that have checked in, and whether they are alive."""
        return await self._session.rows(Presence, "workers")

    async def check_in(
        self,
        worker: str,
        queues: Sequence[str],
        *,
        rhythm: timedelta | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> bool:
        """Say that a worker is there, once a rhythm; true when it was known to be."""
        known: bool = await self._session.scalar(
            "check_in",
            worker=worker,
            queues=list(queues),
            rhythm=rhythm,
            details=None if details is None else as_jsonb(dict(details)),
        )
        return known

    async def check_out(self, worker: str) -> bool:
        """Say that a worker is leaving; true when it was known."""
        known: bool = await self._session.scalar("check_out", worker=worker)
        return known
