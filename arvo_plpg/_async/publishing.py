"""Publishing: publish and subscribe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arvo_plpg.jsonb import as_event, as_jsonb
from arvo_plpg.rows import Dispatched, Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arvo_plpg._async.session import Session
    from arvo_plpg.event import ArvoEvent


class Publishing:
    """Part of :class:`~arvo_plpg._async.broker.Broker`."""

    _session: Session

    async def subscribe(self, queue: str, pattern: str) -> bool:
        """Let a queue have published events whose type matches; say whether that is new.

        In a pattern, ``*`` stands for one segment, ``**`` at the end for one or more.
        """
        new: bool = await self._session.scalar("subscribe", queue=queue, pattern=pattern)
        return new

    async def unsubscribe(self, queue: str, pattern: str | None = None) -> int:
        """End a subscription of a queue, or all of them; say how many there were."""
        ended: int = await self._session.scalar("unsubscribe", queue=queue, pattern=pattern)
        return ended

    async def subscriptions(
        self,
        queue: str | None = None,
        type: str | None = None,  # noqa: A002 - the contract's name
    ) -> list[Subscription]:
        """Subscriptions of a queue, or those that match a type, or all."""
        return await self._session.rows(Subscription, "subscriptions", queue=queue, type=type)

    async def publish(
        self, event: ArvoEvent, *, options: Mapping[str, Any] | None = None
    ) -> list[Dispatched]:
        """Deliver an event to every queue that subscribes to its type; one row for each copy."""
        return await self._session.rows(
            Dispatched,
            "publish",
            event=as_event(event),
            options=None if options is None else as_jsonb(dict(options)),
        )
