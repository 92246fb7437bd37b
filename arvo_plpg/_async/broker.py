"""Broker: one method per function of the contract that moves events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arvo_plpg._async.session import Session
from arvo_plpg.jsonb import as_jsonb
from arvo_plpg.rows import (
    About,
    Claimed,
    DeadLetter,
    Dispatched,
    Extended,
    Maintained,
    Queue,
    QueueStats,
    Redriven,
    Settled,
    Step,
    Worked,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from psycopg import AsyncConnection

    from arvo_plpg.event import ArvoEvent


class Broker:
    """The broker's functions on a borrowed connection; every call joins its transaction.

    Args:
        connection: an open connection, never committed or closed here.
        version: version of the contract.
        schema: name of the installation.

    Every method raises the :class:`~arvo_plpg.errors.ArvoError` of the SQLSTATE that the function
    raised. An argument left None takes the default that the function declares.
    """

    def __init__(
        self, connection: AsyncConnection[Any], *, version: int = 1, schema: str = "arvo"
    ) -> None:
        self._session = Session(connection, version=version, schema=schema)

    async def about(self) -> About:
        """Contract version, newest migration, oldest client allowed, name and cluster."""
        return await self._session.one(About, "about")

    async def register_queue(
        self,
        queue: str,
        *,
        stateful: bool | None = None,
        priority: int | None = None,
        retry_limit: int | None = None,
        retry_delay: timedelta | None = None,
        retry_backoff: bool | None = None,
        retry_delay_max: timedelta | None = None,
        expire_in: timedelta | None = None,
        dead_letter: str | None = None,
        warning_queue_size: int | None = None,
    ) -> Queue:
        """Create or update a queue, idempotently; says what changed."""
        return await self._session.one(
            Queue,
            "register_queue",
            queue=queue,
            stateful=stateful,
            priority=priority,
            retry_limit=retry_limit,
            retry_delay=retry_delay,
            retry_backoff=retry_backoff,
            retry_delay_max=retry_delay_max,
            expire_in=expire_in,
            dead_letter=dead_letter,
            warning_queue_size=warning_queue_size,
        )

    async def dispatch(
        self,
        event: ArvoEvent,
        *,
        start_after: timedelta | None = None,
        priority: int | None = None,
        ignore_domain: bool | None = None,
    ) -> Dispatched:
        """Accept one event in the connection's transaction and say where it went."""
        return await self._session.one(
            Dispatched,
            "dispatch",
            event=as_jsonb(event.to_dict()),
            start_after=start_after,
            priority=priority,
            ignore_domain=ignore_domain,
        )

    async def dispatch_many(
        self,
        events: Sequence[ArvoEvent],
        *,
        start_after: timedelta | None = None,
        priority: int | None = None,
        ignore_domain: bool | None = None,
    ) -> list[Dispatched]:
        """Accept events in order, all or none."""
        return await self._session.rows(
            Dispatched,
            "dispatch_many",
            events=as_jsonb([event.to_dict() for event in events]),
            start_after=start_after,
            priority=priority,
            ignore_domain=ignore_domain,
        )

    async def claim(
        self,
        queues: Sequence[str],
        limit: int | None = None,
        worker: str | None = None,
        *,
        limits: Sequence[int] | None = None,
        lease: timedelta | None = None,
    ) -> list[Claimed]:
        """Lease deliveries of the named queues, after healing what is due or expired."""
        return await self._session.rows(
            Claimed,
            "claim",
            queues=list(queues),
            limit=limit,
            worker=worker,
            limits=None if limits is None else list(limits),
            lease=lease,
        )

    async def settle(self, results: Sequence[Mapping[str, Any]]) -> list[Settled]:
        """Finish deliveries in one transaction; each result gets a verdict of its own.

        The form of a result is described in ``arvo_v1.settle``.
        """
        return await self._session.rows(Settled, "settle", results=as_jsonb(list(results)))

    async def work(
        self,
        results: Sequence[Mapping[str, Any]] = (),
        queues: Sequence[str] | None = None,
        limit: int | None = None,
        worker: str | None = None,
        *,
        limits: Sequence[int] | None = None,
        lease: timedelta | None = None,
    ) -> list[Worked]:
        """Settle results and claim the next deliveries, in one round trip and one commit."""
        return await self._session.rows(
            Worked,
            "work",
            results=as_jsonb(list(results)),
            queues=None if queues is None else list(queues),
            limit=limit,
            worker=worker,
            limits=None if limits is None else list(limits),
            lease=lease,
        )

    async def extend(
        self,
        leases: Sequence[int],
        for_: timedelta | None = None,
    ) -> list[Extended]:
        """Heartbeat: carry leases forward, and tell which are lost."""
        return await self._session.rows(Extended, "extend", leases=list(leases), **{"for": for_})

    async def queue_stats(self, queue: str | None = None) -> list[QueueStats]:
        """Live numbers of one queue, or of all."""
        return await self._session.rows(QueueStats, "queue_stats", queue=queue)

    async def dead_letters(
        self,
        queue: str | None = None,
        *,
        after: int | None = None,
        limit: int | None = None,
        resolved: bool | None = None,
    ) -> list[DeadLetter]:
        """Dead letters of a queue, or that a dead-letter queue received, page by page."""
        return await self._session.rows(
            DeadLetter, "dead_letters", queue=queue, after=after, limit=limit, resolved=resolved
        )

    async def redrive(
        self,
        queue: str | None = None,
        *,
        dead: Sequence[int] | None = None,
        limit: int | None = None,
        dry_run: bool | None = None,
    ) -> list[Redriven]:
        """Put dead letters back into the queues they failed in, by number or by queue."""
        return await self._session.rows(
            Redriven,
            "redrive",
            queue=queue,
            dead=None if dead is None else list(dead),
            limit=limit,
            dry_run=dry_run,
        )

    async def trace(self, subject: str | None = None, *, event_id: str | None = None) -> list[Step]:
        """Every delivery of every event of a workflow's tree."""
        return await self._session.rows(Step, "trace", subject=subject, event_id=event_id)

    async def accept_cluster(self) -> bool:
        """After pg_upgrade: say that this cluster has kept the transaction numbers."""
        accepted: bool = await self._session.scalar("accept_cluster")
        return accepted

    async def maintain(self) -> list[Maintained]:
        """Promote, heal and sweep what claims do not reach."""
        return await self._session.rows(Maintained, "maintain")
