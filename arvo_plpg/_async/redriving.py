"""Redriving: dead letters: list them, put them back, let them go; replay what was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arvo_plpg.jsonb import as_jsonb
from arvo_plpg.rows import Attempt, DeadLetter, Discarded, Dispatched, Redriven

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from arvo_plpg._async.session import Session


class Redriving:
    """Part of :class:`~arvo_plpg._async.broker.Broker`.

    Dead letters are chosen by filters, which must all fit: the queue they failed in (or the
    dead-letter queue that received them), their numbers, the reason, when they died (``since``,
    ``before``), type and subject of the event, ``path`` (SQL/JSON path that finds something in the
    event, or a predicate that holds for it) and ``text`` (in the event or the error).
    """

    _session: Session

    async def dead_letters(
        self,
        queue: str | None = None,
        *,
        after: int | None = None,
        limit: int | None = None,
        resolved: bool | None = None,
        dead: Sequence[int] | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        event_type: str | None = None,
        subject: str | None = None,
        path: str | None = None,
        text: str | None = None,
    ) -> list[DeadLetter]:
        """Dead letters, by queue, number, reason, age, type, subject, JSON path or text."""
        return await self._session.rows(
            DeadLetter,
            "dead_letters",
            queue=queue,
            after=after,
            limit=limit,
            resolved=resolved,
            dead=None if dead is None else list(dead),
            reason=reason,
            since=since,
            before=before,
            event_type=event_type,
            subject=subject,
            path=path,
            text=text,
        )

    async def dead_letter_attempts(self, dead: int) -> list[Attempt]:
        """The attempts that ended in a dead letter: times, worker and error of each."""
        return await self._session.rows(Attempt, "dead_letter_attempts", dead=dead)

    async def redrive(
        self,
        queue: str | None = None,
        *,
        dead: Sequence[int] | None = None,
        limit: int | None = None,
        dry_run: bool | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        event_type: str | None = None,
        subject: str | None = None,
        path: str | None = None,
        text: str | None = None,
        rate: float | None = None,
        edit: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        to: str | None = None,
        force: bool | None = None,
    ) -> list[Redriven]:
        """Put dead letters back into the queues they failed in or another; edited, spread if asked.

        Args:
            queue: filters, as for all of them; so are ``dead`` and ``reason`` to ``text``.
            dead: numbers of dead letters.
            limit: most letters to redrive, the oldest first.
            dry_run: only tell what would be done.
            reason: why they died.
            since: died then or later.
            before: died earlier.
            event_type: type of the event.
            subject: subject of the event.
            path: SQL/JSON path, asked of the event.
            text: stands in event or error.
            rate: so many per second.
            edit: merge patch (RFC 7396) of the event.
            data: replaces the event's data.
            to: another queue.
            force: also what was redriven as often as its queue allows.
        """
        return await self._session.rows(
            Redriven,
            "redrive",
            queue=queue,
            dead=None if dead is None else list(dead),
            limit=limit,
            dry_run=dry_run,
            reason=reason,
            since=since,
            before=before,
            event_type=event_type,
            subject=subject,
            path=path,
            text=text,
            rate=rate,
            edit=None if edit is None else as_jsonb(dict(edit)),
            data=None if data is None else as_jsonb(dict(data)),
            to=to,
            force=force,
        )

    async def discard(
        self,
        queue: str | None = None,
        *,
        dead: Sequence[int] | None = None,
        limit: int | None = None,
        dry_run: bool | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        event_type: str | None = None,
        subject: str | None = None,
        path: str | None = None,
        text: str | None = None,
    ) -> list[Discarded]:
        """Close dead letters that nobody wants any more."""
        return await self._session.rows(
            Discarded,
            "discard",
            queue=queue,
            dead=None if dead is None else list(dead),
            limit=limit,
            dry_run=dry_run,
            reason=reason,
            since=since,
            before=before,
            event_type=event_type,
            subject=subject,
            path=path,
            text=text,
        )

    async def replay(
        self,
        event_id: str,
        *,
        source: str | None = None,
        delivery: int | None = None,
        queue: str | None = None,
    ) -> Dispatched:
        """Dispatch a stored event again under a new id, and say where it went.

        Args:
            event_id: id of the stored event.
            source: its source, when several used that id.
            delivery: the delivery that carried it; the newest by default.
            queue: where it goes now; where it went then by default.
        """
        return await self._session.one(
            Dispatched, "replay", event_id=event_id, source=source, delivery=delivery, queue=queue
        )
