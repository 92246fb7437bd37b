# Pressed from _async/operating.py by tools/unasync.py. Edit that file, not this one.
"""Operating: what operators do to queues and deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arvo_plpg._sync.session import Session


class Operating:
    """Part of :class:`~arvo_plpg._sync.broker.Broker`."""

    _session: Session
