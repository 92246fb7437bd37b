# Pressed from _async/operating.py by tools/unasync.py. Edit that file, not this one.
"""Operating: what operators do to queues and deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.rows import Intervention, Operation, Purged, Switched

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from arvo_plpg._sync.session import Session


class Operating:
    """Part of :class:`~arvo_plpg._sync.broker.Broker`.

    The filters of ``cancel``, ``retry_now``, ``move`` and ``reprioritize`` are the same: what is
    given must all fit, at least one must be given, and ``path`` is an SQL/JSON path. An answer as
    long as the limit may not be the whole: call again.
    """

    _session: Session

    def pause_queue(self, queue: str) -> list[Switched]:
        """Stop claims from a queue, or from all that begin alike (``"name.*"``)."""
        return self._session.rows(Switched, "pause_queue", queue=queue)

    def resume_queue(self, queue: str) -> list[Switched]:
        """End the pause or the drain of a queue, or of all that begin alike."""
        return self._session.rows(Switched, "resume_queue", queue=queue)

    def drain_queue(self, queue: str) -> Switched:
        """Let a queue be worked off: only what waits now is claimed, until it is resumed."""
        return self._session.one(Switched, "drain_queue", queue=queue)

    def purge_queue(
        self, queue: str, *, limit: int | None = None, dry_run: bool | None = None
    ) -> list[Purged]:
        """Cancel everything in a queue that is not leased; says how many, by place."""
        return self._session.rows(
            Purged, "purge_queue", queue=queue, limit=limit, dry_run=dry_run
        )

    def recreate_queue(self, queue: str, *, dry_run: bool | None = None) -> list[Purged]:
        """Cancel what is not leased and set the options back; says how many, by place."""
        return self._session.rows(Purged, "recreate_queue", queue=queue, dry_run=dry_run)

    def drop_queue(
        self, queue: str, *, purge: bool | None = None, dry_run: bool | None = None
    ) -> list[Purged]:
        """Unregister a queue and set its options back; its history stays."""
        return self._session.rows(
            Purged, "drop_queue", queue=queue, purge=purge, dry_run=dry_run
        )

    def cancel(
        self,
        delivery: Sequence[int] | None = None,
        *,
        queue: str | None = None,
        event_id: str | None = None,
        event_type: str | None = None,
        subject: str | None = None,
        tree: str | None = None,
        before: datetime | None = None,
        path: str | None = None,
        text: str | None = None,
        include_running: bool | None = None,
        limit: int | None = None,
        dry_run: bool | None = None,
        reason: str | None = None,
    ) -> list[Intervention]:
        """Cancel deliveries by number, event, workflow tree or filter, wherever they are."""
        return self._session.rows(
            Intervention,
            "cancel",
            delivery=None if delivery is None else list(delivery),
            queue=queue,
            event_id=event_id,
            event_type=event_type,
            subject=subject,
            tree=tree,
            before=before,
            path=path,
            text=text,
            include_running=include_running,
            limit=limit,
            dry_run=dry_run,
            reason=reason,
        )

    def retry_now(
        self,
        delivery: Sequence[int] | None = None,
        *,
        queue: str | None = None,
        event_id: str | None = None,
        event_type: str | None = None,
        subject: str | None = None,
        tree: str | None = None,
        before: datetime | None = None,
        path: str | None = None,
        text: str | None = None,
        limit: int | None = None,
        dry_run: bool | None = None,
    ) -> list[Intervention]:
        """Make deferred deliveries due now."""
        return self._session.rows(
            Intervention,
            "retry_now",
            delivery=None if delivery is None else list(delivery),
            queue=queue,
            event_id=event_id,
            event_type=event_type,
            subject=subject,
            tree=tree,
            before=before,
            path=path,
            text=text,
            limit=limit,
            dry_run=dry_run,
        )

    def move(
        self,
        to: str,
        *,
        delivery: Sequence[int] | None = None,
        queue: str | None = None,
        event_id: str | None = None,
        event_type: str | None = None,
        subject: str | None = None,
        tree: str | None = None,
        before: datetime | None = None,
        path: str | None = None,
        text: str | None = None,
        limit: int | None = None,
        dry_run: bool | None = None,
    ) -> list[Intervention]:
        """Move waiting deliveries to another queue."""
        return self._session.rows(
            Intervention,
            "move",
            to=to,
            delivery=None if delivery is None else list(delivery),
            queue=queue,
            event_id=event_id,
            event_type=event_type,
            subject=subject,
            tree=tree,
            before=before,
            path=path,
            text=text,
            limit=limit,
            dry_run=dry_run,
        )

    def reprioritize(
        self,
        priority: int,
        *,
        delivery: Sequence[int] | None = None,
        queue: str | None = None,
        event_id: str | None = None,
        event_type: str | None = None,
        subject: str | None = None,
        tree: str | None = None,
        before: datetime | None = None,
        path: str | None = None,
        text: str | None = None,
        limit: int | None = None,
        dry_run: bool | None = None,
    ) -> list[Intervention]:
        """Change the priority of waiting deliveries."""
        return self._session.rows(
            Intervention,
            "reprioritize",
            priority=priority,
            delivery=None if delivery is None else list(delivery),
            queue=queue,
            event_id=event_id,
            event_type=event_type,
            subject=subject,
            tree=tree,
            before=before,
            path=path,
            text=text,
            limit=limit,
            dry_run=dry_run,
        )

    def operations(
        self,
        queue: str | None = None,
        *,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> list[Operation]:
        """The audit of what operators did, newest first."""
        return self._session.rows(
            Operation, "operations", queue=queue, since=since, limit=limit
        )
