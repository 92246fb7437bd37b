"""Desk: what all slots of a worker share."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from arvo_plpg.runtime.settlement import Settlement
from arvo_plpg.runtime.turns import Turns
from arvo_plpg.runtime.watch import Watch

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from arvo_plpg.runtime.delivery import Delivery
    from arvo_plpg.runtime.station import Station


@dataclass(slots=True)
class Desk:
    """Where slots hand in their results.

    Attributes:
        nudge: called with a station where something has ended or become free.
        warn: called when a handler has failed, as a logger's ``warning``, with ``extra``.
        settlement: the results.
        turns: who may write the state of a subject.
        watch: over the deadlines.
        lease: seconds that a lease lasts from its claim, or from the last beat that kept it.
        kept_at: when the heartbeat last kept the leases, as :func:`time.monotonic` says.
        stopping: whether nothing more is to begin.
        tracing: whether spans are wanted.
        leaving: tasks of handlers whose result does not count any more.
        over: subjects of workflows that are finished, whose states are to be forgotten.
        worker: the task that claims and settles.
    """

    nudge: Callable[[Station], None]
    warn: Callable[..., None]
    settlement: Settlement = field(default_factory=Settlement)
    turns: Turns = field(default_factory=Turns)
    watch: Watch = field(default_factory=Watch)
    lease: float = inf
    kept_at: float = -inf
    stopping: bool = False
    tracing: bool = False
    leaving: set[asyncio.Task[None]] = field(default_factory=set)
    over: deque[str] = field(default_factory=deque)
    worker: asyncio.Task[None] | None = None

    @property
    def ends_with_the_loop(self) -> bool:
        """Whether all tasks are being cancelled, since the event loop ends."""
        return self.worker is not None and self.worker.cancelling() > 0

    def has_lapsed(self, delivery: Delivery, now: float) -> bool:
        """Whether a delivery has probably gone elsewhere: this process stood still for too long."""
        return now > max(delivery.asked_at, self.kept_at) + self.lease
