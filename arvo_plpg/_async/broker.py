"""Broker: one method per function of the contract that moves events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arvo_plpg._async.copying import Copying
from arvo_plpg._async.guarding import Guarding
from arvo_plpg._async.keeping import Keeping
from arvo_plpg._async.monitoring import Monitoring
from arvo_plpg._async.operating import Operating
from arvo_plpg._async.publishing import Publishing
from arvo_plpg._async.redriving import Redriving
from arvo_plpg._async.scheduling import Scheduling
from arvo_plpg._async.session import Session
from arvo_plpg._async.waking import Waking
from arvo_plpg.jsonb import as_event, as_events, as_jsonb, event_json
from arvo_plpg.rows import (
    About,
    Claimed,
    Dispatched,
    Extended,
    Queue,
    Settled,
    Worked,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from psycopg import AsyncConnection

    from arvo_plpg.event import ArvoEvent


class Broker(
    Copying, Guarding, Keeping, Monitoring, Operating, Publishing, Redriving, Scheduling, Waking
):
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
        policy: str | None = None,
        key_from: str | None = None,
        on_failure: str | None = None,
        start_after: timedelta | None = None,
        retention: timedelta | None = None,
        delete_after: timedelta | None = None,
        deduplicate_for: timedelta | None = None,
        singleton_for: timedelta | None = None,
        singleton_next_slot: bool | None = None,
        max_active: int | None = None,
        key_max_active: int | None = None,
        rate_limit: int | None = None,
        rate_period: timedelta | None = None,
        key_rate_limit: int | None = None,
        key_rate_period: timedelta | None = None,
        max_redrives: int | None = None,
        error_rules: Mapping[str, Any] | None = None,
        reset: Sequence[str] | None = None,
        worker: str | None = None,
    ) -> Queue:
        """Create or update a queue, idempotently; says what changed.

        The options are described in ``arvo.queue``. One left None stays as it is; one that
        ``reset`` names goes back to its default. ``worker`` is what this process calls itself.
        """
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
            policy=policy,
            key_from=key_from,
            on_failure=on_failure,
            start_after=start_after,
            retention=retention,
            delete_after=delete_after,
            deduplicate_for=deduplicate_for,
            singleton_for=singleton_for,
            singleton_next_slot=singleton_next_slot,
            max_active=max_active,
            key_max_active=key_max_active,
            rate_limit=rate_limit,
            rate_period=rate_period,
            key_rate_limit=key_rate_limit,
            key_rate_period=key_rate_period,
            max_redrives=max_redrives,
            error_rules=None if error_rules is None else as_jsonb(dict(error_rules)),
            reset=None if reset is None else list(reset),
            worker=worker,
        )

    async def dispatch(
        self,
        event: ArvoEvent,
        *,
        start_after: timedelta | None = None,
        priority: int | None = None,
        ignore_domain: bool | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Dispatched:
        """Accept one event in the connection's transaction and say where it went.

        ``options`` are those of ``arvo.read_options``.
        """
        return await self._session.one(
            Dispatched,
            "dispatch",
            event=as_event(event),
            start_after=start_after,
            priority=priority,
            ignore_domain=ignore_domain,
            options=None if options is None else as_jsonb(dict(options)),
        )

    async def dispatch_many(
        self,
        events: Sequence[ArvoEvent],
        *,
        start_after: timedelta | None = None,
        priority: int | None = None,
        ignore_domain: bool | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> list[Dispatched]:
        """Accept events in order, all or none."""
        return await self._session.rows(
            Dispatched,
            "dispatch_many",
            events=as_events(map(event_json, events)),
            start_after=start_after,
            priority=priority,
            ignore_domain=ignore_domain,
            options=None if options is None else as_jsonb(dict(options)),
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

    async def look(
        self,
        queues: Sequence[str],
        limit: int | None = None,
        worker: str | None = None,
        *,
        limits: Sequence[int] | None = None,
        lease: timedelta | None = None,
    ) -> list[Worked]:
        """Claim the next deliveries as ``work`` does, without waiting for the disk.

        In a transaction of its own: others of its writes would not be waited for either.
        """
        return await self._session.rows(
            Worked,
            "look",
            queues=list(queues),
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
