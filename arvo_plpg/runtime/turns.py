"""Turns: deliveries of one subject, in one process, take turns.

Two steps of one workflow that run at the same time would both write the state, and one of them
would have run for nothing. Here the second waits for the first and goes on from the state that the
first held back; the settlement writes both, in order.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arvo_plpg.machine_memory import StateRecord
    from arvo_plpg.runtime.delivery import Delivery

Key = tuple[str, str]


class Turns:
    """Hands each subject from one delivery to the next, with the newest state known here."""

    def __init__(self) -> None:
        self._tails: dict[Key, asyncio.Future[None]] = {}
        self._newest: dict[Key, StateRecord] = {}

    @asynccontextmanager
    async def turn(self, delivery: Delivery) -> AsyncIterator[None]:
        """Wait for earlier deliveries of the subject; then its state is the delivery's."""
        key = (delivery.queue, delivery.event.subject)
        before = self._tails.get(key)
        mine = asyncio.get_running_loop().create_future()
        self._tails[key] = mine
        try:
            if before is not None:
                await before
            newest = self._newest.get(key)
            if newest is not None and newest.version > (
                delivery.state.version if delivery.state else 0
            ):
                delivery.state = newest
            yield
        finally:
            if delivery.state is not None:
                self._newest[key] = delivery.state
            mine.set_result(None)
            if self._tails[key] is mine:
                del self._tails[key]

    def forget(self, queue: str, subject: str, *, refused: bool = False) -> None:
        """Forget a subject's state after its settlement; the next claim reads it anew.

        While others wait for their turn it is kept, because they were claimed with an older one;
        unless it was refused, and so never became the state.
        """
        key = (queue, subject)
        if refused or key not in self._tails:
            self._newest.pop(key, None)
