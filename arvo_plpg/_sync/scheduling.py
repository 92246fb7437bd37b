# Pressed from _async/scheduling.py by tools/unasync.py. Edit that file, not this one.
"""Scheduling: events that are dispatched by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arvo_plpg.jsonb import as_jsonb
from arvo_plpg.rows import Fire, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from arvo_plpg._sync.session import Session


class Scheduling:
    """Part of :class:`~arvo_plpg._sync.broker.Broker`."""

    _session: Session

    def schedule(
        self,
        name: str,
        cron: str,
        event: Mapping[str, Any],
        *,
        key: str | None = None,
        time_zone: str | None = None,
        missed: str | None = None,
        missed_limit: int | None = None,
        grace: timedelta | None = None,
        gap: str | None = None,
        overlap: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Schedule:
        """Have an event dispatched by the clock: create a schedule or change it, idempotently.

        The event has neither id nor time; each fire adds its own.
        """
        return self._session.one(
            Schedule,
            "schedule",
            name=name,
            cron=cron,
            event=as_jsonb(dict(event)),
            key=key,
            time_zone=time_zone,
            missed=missed,
            missed_limit=missed_limit,
            grace=grace,
            gap=gap,
            overlap=overlap,
            options=None if options is None else as_jsonb(dict(options)),
        )

    def unschedule(
        self, name: str, key: str | None = None, *, dry_run: bool | None = None
    ) -> list[Schedule]:
        """Remove the schedule of a name and key, or all of a name."""
        return self._session.rows(Schedule, "unschedule", name=name, key=key, dry_run=dry_run)

    def pause_schedule(self, name: str, key: str | None = None) -> list[Schedule]:
        """Pause the schedule of a name and key, or all of a name."""
        return self._session.rows(Schedule, "pause_schedule", name=name, key=key)

    def resume_schedule(self, name: str, key: str | None = None) -> list[Schedule]:
        """Resume the schedule of a name and key, or all of a name, from now on."""
        return self._session.rows(Schedule, "resume_schedule", name=name, key=key)

    def schedules(self, name: str | None = None) -> list[Schedule]:
        """List the schedules, all or those of a name: what, when, and how the last fire went."""
        return self._session.rows(Schedule, "schedules", name=name)

    def next_fires(
        self,
        cron: str,
        time_zone: str | None = None,
        count: int | None = None,
        from_: datetime | None = None,
        *,
        gap: str | None = None,
        overlap: str | None = None,
    ) -> list[Fire]:
        """Preview when a cron text would fire next in a time zone."""
        return self._session.rows(
            Fire,
            "next_fires",
            cron=cron,
            time_zone=time_zone,
            count=count,
            gap=gap,
            overlap=overlap,
            **{"from": from_},
        )
