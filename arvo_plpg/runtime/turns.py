"""Turns: deliveries of one subject, in one process, take turns.

Two steps of one workflow that run at the same time would both write the state, and one of them
would have run for nothing. Here the second waits until the first is settled, and goes on from the
state that the settlement confirmed. It never sees a state that is not stored: a step that was built
on one which was then refused could otherwise be accepted on top of somebody else's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arvo_plpg.machine_memory import StateRecord
    from arvo_plpg.runtime.delivery import Delivery


class StaleClaim(Exception):  # noqa: N818 - named for what is wrong
    """The state that came with the claim is known to have moved on: claim the delivery anew."""


@dataclass(slots=True)
class _Place:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    interested: int = 0
    moves: int = 0
    newest: StateRecord | None = None


class Turns:
    """Hands each subject from one delivery to the next, with the newest state known here."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}

    async def take(self, delivery: Delivery) -> None:
        """Wait until earlier deliveries of the subject are settled; then its state is up to date.

        Raises:
            StaleClaim: meanwhile the state was moved on by another process.
        """
        subject = delivery.subject
        place = self._places.setdefault(subject, _Place())
        place.interested += 1
        moves = place.moves
        try:
            await place.lock.acquire()
        except BaseException:
            self._forget(subject, place)
            raise
        if place.moves != moves:
            place.lock.release()
            self._forget(subject, place)
            raise StaleClaim
        delivery.has_turn = True
        known = delivery.state.version if delivery.state is not None else 0
        if place.newest is not None and place.newest.version > known:
            delivery.state = place.newest

    def give(
        self, delivery: Delivery, stored: StateRecord | None = None, *, moved_on: bool = False
    ) -> None:
        """End the delivery's turn, if it has one.

        Args:
            delivery: the delivery.
            stored: the state that its settlement is known to have stored.
            moved_on: whether somebody else may have stored another one.
        """
        if not delivery.has_turn:
            return
        delivery.has_turn = False
        subject = delivery.subject
        place = self._places[subject]
        if moved_on:
            place.moves += 1
            place.newest = None
        elif stored is not None:
            place.newest = stored
        place.lock.release()
        self._forget(subject, place)

    def _forget(self, subject: str, place: _Place) -> None:
        place.interested -= 1
        if place.interested == 0:
            del self._places[subject]
