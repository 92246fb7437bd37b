"""Current: which delivery, or which batch, the running code works on."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arvo_plpg.runtime.delivery import Delivery

CURRENT: ContextVar[Delivery | tuple[Delivery, ...]] = ContextVar("arvo_plpg_delivery", default=())
"""Set by a worker around each handler; an empty tuple anywhere else."""
