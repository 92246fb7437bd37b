"""Line: claimed deliveries that one task works through in order.

Most lines have one delivery. An ordered queue hands out several of one key at once: they are run
one after the other, each from the state that the one before wrote. That is safe although nothing is
stored yet: the database refuses the result of each whose predecessor was not completed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from arvo_plpg.machine_memory import StateRecord
    from arvo_plpg.runtime.delivery import Delivery
    from arvo_plpg.runtime.route import Route


@dataclass(slots=True, eq=False)
class Line:
    """Deliveries of one route, the first of which is running.

    Attributes:
        route: who runs them.
        key: key of the ordered queue; None for a single delivery of any other.
        deliveries: those that are not done with, in order, each with its event as it came.
        task: the task that works through them.
        state: the state that the last of them wrote.
    """

    route: Route
    key: int | None
    deliveries: deque[tuple[Delivery, dict[str, Any]]] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    state: StateRecord | None = None

    @property
    def running(self) -> Delivery:
        """The delivery whose turn it is."""
        return self.deliveries[0][0]

    @property
    def lease(self) -> int:
        """The lease of all of them."""
        return self.running.lease

    def pass_on(self, *, completed: bool) -> bool:
        """End the turn of the first; say whether there is a next one to run.

        After one that did not complete there is none: the database takes the rest back.
        """
        done, _ = self.deliveries[0]
        if not completed or len(self.deliveries) == 1:
            return False
        self.deliveries.popleft()
        self.state = done.written or done.state
        if self.state is not None:
            self.running.state = self.state
        return True
