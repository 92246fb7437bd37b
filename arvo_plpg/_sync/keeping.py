# Pressed from _async/keeping.py by tools/unasync.py. Edit that file, not this one.
"""Keeping: housekeeping: maintenance, and moves between clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.rows import Maintained, Rebased

if TYPE_CHECKING:
    from arvo_plpg._sync.session import Session


class Keeping:
    """Part of :class:`~arvo_plpg._sync.broker.Broker`."""

    _session: Session

    def accept_cluster(self) -> bool:
        """After pg_upgrade: say that this cluster has kept the transaction numbers."""
        accepted: bool = self._session.scalar("accept_cluster")
        return accepted

    def maintain(self) -> list[Maintained]:
        """Promote, heal, apply retention, sweep, and turn history; in a transaction of its own."""
        return self._session.rows(Maintained, "maintain")

    def rebase(self, *, dry_run: bool | None = None) -> Rebased:
        """After a dump was restored: take over what waits in it, once; says what it did.

        The original must no longer run: what waits here is going to run here.
        """
        return self._session.one(Rebased, "rebase", dry_run=dry_run)
