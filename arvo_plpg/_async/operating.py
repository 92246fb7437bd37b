"""Operating: what operators do to queues and deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arvo_plpg._async.session import Session


class Operating:
    """Part of :class:`~arvo_plpg._async.broker.Broker`."""

    _session: Session
