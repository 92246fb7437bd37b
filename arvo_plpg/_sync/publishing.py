# Pressed from _async/publishing.py by tools/unasync.py. Edit that file, not this one.
"""Publishing: publish and subscribe."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arvo_plpg._sync.session import Session


class Publishing:
    """Part of :class:`~arvo_plpg._sync.broker.Broker`."""

    _session: Session
