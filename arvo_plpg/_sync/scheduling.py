# Pressed from _async/scheduling.py by tools/unasync.py. Edit that file, not this one.
"""Scheduling: events that are dispatched by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arvo_plpg._sync.session import Session


class Scheduling:
    """Part of :class:`~arvo_plpg._sync.broker.Broker`."""

    _session: Session
