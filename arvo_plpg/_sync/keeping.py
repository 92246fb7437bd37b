# Pressed from _async/keeping.py by tools/unasync.py. Edit that file, not this one.
"""Keeping: housekeeping: maintenance, and moves between clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.rows import Maintained

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
        """Promote, heal and sweep what claims do not reach."""
        return self._session.rows(Maintained, "maintain")
