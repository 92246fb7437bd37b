"""Keeping: housekeeping: maintenance, and moves between clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.rows import Maintained

if TYPE_CHECKING:
    from arvo_plpg._async.session import Session


class Keeping:
    """Part of :class:`~arvo_plpg._async.broker.Broker`."""

    _session: Session

    async def accept_cluster(self) -> bool:
        """After pg_upgrade: say that this cluster has kept the transaction numbers."""
        accepted: bool = await self._session.scalar("accept_cluster")
        return accepted

    async def maintain(self) -> list[Maintained]:
        """Promote, heal and sweep what claims do not reach."""
        return await self._session.rows(Maintained, "maintain")
