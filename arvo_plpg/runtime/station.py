"""Station: the deliveries of one queue that this process holds, and the slots that run them."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

from arvo_plpg.runtime.pace import Pace
from arvo_plpg.runtime.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from arvo_plpg.runtime.delivery import Delivery
    from arvo_plpg.runtime.desk import Desk
    from arvo_plpg.runtime.route import Result, Route

LINGER_SECONDS = 0.002
"""How long a few free places, and plain results, wait for more of their kind."""

STALE_SECONDS = 1.0
"""How long a delivery waits here before somebody else is to have it."""


FAILING = 50
"""After so many failures in a row a queue is worked on slowly."""

FAILING_PAUSE_SECONDS = 0.1
"""How long it waits between two claims then: a handler that always fails does not burn CPU."""


class Station:
    """Holds deliveries in lines: most have one; of an ordered key several may be behind each other.

    A line is run in order, each delivery from the state that the one before wrote. That is safe
    although nothing is stored yet: the database refuses the result of each whose predecessor was
    not completed, and takes back what is behind one that failed or was released.

    Args:
        route: the queue, and what is done with its deliveries.
        desk: where results are handed in.
        careful: see :meth:`be_careful`.

    Attributes:
        route: as given.
        buffer: the first of each line that waits for a slot.
        slots: the slots at work.
        held: deliveries in the buffer, in slots, and behind these.
        claim_at: when free places are next a reason to claim.
        woken: whether there was a notification since the last call was sent.
    """

    __slots__ = (
        "_ahead",
        "_asked_at",
        "_behind",
        "_desk",
        "_failures",
        "_pace",
        "_waiting",
        "_width",
        "buffer",
        "claim_at",
        "held",
        "route",
        "slots",
        "woken",
    )

    def __init__(self, route: Route, desk: Desk, *, careful: bool = False) -> None:
        self.route = route
        self._desk = desk
        self._width = route.width
        self._pace = Pace(route.options.worker.prefetch, self._width)
        self._ahead = 0
        self._failures = 0
        self._asked_at = -inf
        self._behind = 0
        self._waiting = 0
        self.buffer: deque[Delivery] = deque()
        self.slots: set[Slot] = set()
        self.held = 0
        self.claim_at = 0.0
        self.woken = False
        if careful:
            self.be_careful()

    def be_careful(self) -> None:
        """Claim nothing ahead, unless the options say so.

        If this process dies, what it holds is charged an attempt, and here there is only one.
        """
        if self.route.options.worker.prefetch is None:
            self._pace = Pace(0, self._width)

    # --- what to claim

    @property
    def _free(self) -> int:
        """Lines that could begin at once, beside those that are here."""
        return self._width - self.held + self._behind

    def room(self, now: float) -> int:
        """How many deliveries to claim: for the free places, and ahead. Asked once a call."""
        if self._failing and now < self._asked_at + FAILING_PAUSE_SECONDS:
            return 0
        self._ahead = 0 if self._failing else self._pace.ahead(now)
        room = max(self._free, self._width + self._ahead - self.held, 0)
        if room > 0:
            self._asked_at = now
        return room

    def due(self, looked_at: float) -> float:
        """When its free places are a reason to claim; never, if there are none.

        Args:
            looked_at: when the last claim was answered.
        """
        if self._failing and self._free > 0:
            return max(self.claim_at, self._asked_at + FAILING_PAUSE_SECONDS)
        free = self._free
        if free >= max(1, self._width // 8):
            return self.claim_at
        whole = self._width + self._ahead
        if self._ahead and 2 * (whole - self.held) >= whole:
            return self.claim_at
        return max(self.claim_at, looked_at + LINGER_SECONDS) if free > 0 else inf

    @property
    def _failing(self) -> bool:
        return self._failures >= FAILING

    # --- deliveries come

    def arrive(self, delivery: Delivery, before: Delivery | None = None) -> None:
        """Take a delivery, or put it behind the one that came before it in its line."""
        if not self.held:
            self._pace.begin(delivery.arrived)
        self.held += 1
        if before is None:
            self.buffer.append(delivery)
        else:
            before.next = delivery
            self._behind += 1

    def arrive_all(self, deliveries: Sequence[Delivery]) -> None:
        """Take deliveries, each in a line of its own."""
        if not self.held:
            self._pace.begin(deliveries[0].arrived)
        self.held += len(deliveries)
        self.buffer.extend(deliveries)

    def begin(self) -> None:
        """Let a slot begin, if there is something to run and every other one waits."""
        self._begin(1)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let others begin while a slot waits: two at a time, since they may wait as well."""
        self._waiting += 1
        self._begin(2)
        try:
            yield
        finally:
            self._waiting -= 1

    def _begin(self, most: int) -> None:
        free = self.route.options.worker.concurrency - len(self.slots)
        ready = len(self.slots) - self._waiting
        if not self._desk.stopping:
            for _ in range(min(most - ready, len(self.buffer), free)):
                self.slots.add(Slot(self, self._desk))

    # --- deliveries go

    def finish(self, delivery: Delivery, result: Result | None, seconds: float) -> Delivery | None:
        """Hand in a result, None for a plain completion; give the next to run of the line."""
        self.held -= 1
        self._pace.done += 1
        self._pace.ran += seconds
        settlement = self._desk.settlement
        completed = result is None or result["outcome"] == "completed"
        if completed:
            self._failures = 0
        elif result is not None and result["outcome"] == "failed":
            self._failures += 1
        if result is None:
            settlement.complete(self.route, (delivery,), int(seconds * 1_000_000))
        else:
            settlement.add(self.route, delivery, result)
        following = None
        if delivery.next is not None:
            if completed:
                following = delivery.pass_on()
                self._behind -= 1
                if self._desk.stopping and following is not None:
                    self._release(following)
                    following = None
            else:
                self._forget(delivery.next)
        if not self.held:
            settlement.urgent = True
            self._pace.end(time.monotonic())
        return following

    def finish_all(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        """Hand in plain completions that nothing stands behind.

        Args:
            deliveries: what ran together.
            seconds: how long all of them took.
        """
        self.held -= len(deliveries)
        self._failures = 0
        self._pace.done += len(deliveries)
        self._pace.ran += seconds
        settlement = self._desk.settlement
        settlement.complete(self.route, deliveries, int(seconds / len(deliveries) * 1_000_000))
        if not self.held:
            settlement.urgent = True
            self._pace.end(time.monotonic())

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Put deliveries that have not begun at the head of the buffer again."""
        self.buffer.extendleft(
            delivery for delivery in reversed(deliveries) if delivery.started is None
        )

    def leave(self, slot: Slot) -> None:
        """A slot has ended."""
        self.slots.discard(slot)
        self._desk.nudge(self)

    def release(self, arrived_before: float) -> int:
        """Give back lines that have waited since before then, their attempts not charged."""
        count = 0
        while self.buffer and self.buffer[0].arrived < arrived_before:
            self._release(self.buffer.popleft())
            count += 1
        return count

    def stale_at(self) -> float:
        """When the first in the buffer will have waited too long."""
        return self.buffer[0].arrived + STALE_SECONDS if self.buffer else inf

    def abandon(self, slot: Slot, *, release: bool) -> None:
        """Cancel what a slot runs, and forget it; or give it back, its attempt not charged."""
        if slot not in self.slots:
            return
        self.slots.discard(slot)
        for delivery in slot.holds:
            if release:
                self._release(delivery)
            else:
                self._drop(delivery)
        slot.abandon()

    def lose(self, lease: int, held: Collection[int]) -> list[Delivery]:
        """Forget what is here under a lease without being held any more, and say what began.

        A batch goes on while one of its deliveries is held.
        """
        cancelled: list[Delivery] = []
        for slot in list(self.slots):
            lost = [one for one in slot.holds if one.lease == lease and one.number not in held]
            if not lost:
                continue
            slot.lost.update(lost)
            if len(slot.lost) == len(slot.holds):
                cancelled += slot.holds
                self.abandon(slot, release=False)
        for delivery in [one for one in self.buffer if one.lease == lease]:
            if delivery.number not in held:
                self.buffer.remove(delivery)
                self._drop(delivery)
        return cancelled

    def _release(self, delivery: Delivery) -> None:
        self._desk.settlement.add(self.route, delivery, delivery.released())
        self.held -= 1
        if delivery.next is not None:
            self._forget(delivery.next)

    def _drop(self, delivery: Delivery) -> None:
        self._desk.turns.give(delivery, moved_on=True)
        self._desk.settlement.let_go(delivery.lease)
        self.held -= 1
        if delivery.next is not None:
            self._forget(delivery.next)

    def _forget(self, delivery: Delivery) -> None:
        """Forget a delivery that was behind another, and those behind it: they are taken back."""
        following: Delivery | None = delivery
        while following is not None:
            self._desk.settlement.let_go(following.lease)
            self.held -= 1
            self._behind -= 1
            following = following.next
