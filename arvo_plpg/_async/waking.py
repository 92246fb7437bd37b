"""Waking: who sleeps is woken, and nobody else is notified."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from arvo_plpg._async.session import Session


class Waking:
    """Part of :class:`~arvo_plpg._async.broker.Broker`."""

    _session: Session

    async def doze(self, queues: Sequence[str]) -> list[int]:
        """Register the session, which listens, as asleep for the named queues.

        Gives the transactions that are open: look for deliveries now, and again when some of these
        have ended, until none is left. Needs a connection of its own, in autocommit, not one of a
        transaction pooler.
        """
        return await self._session.values("doze", queues=list(queues))

    async def rouse(self, queues: Sequence[str]) -> bool:
        """Take back a call of doze with the same names; whether there was one."""
        registered: bool = await self._session.scalar("rouse", queues=list(queues))
        return registered

    async def still_open(
        self, transactions: Sequence[int], within: timedelta | None = None
    ) -> list[int]:
        """Give those of the transactions that have not ended; wait for one to end, if asked to."""
        return await self._session.values(
            "still_open", transactions=list(transactions), within=within
        )
