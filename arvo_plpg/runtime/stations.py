"""Stations: all those of a worker, one for each of its queues."""

from __future__ import annotations

import time
from collections import Counter
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from arvo_plpg.options import HandlerOptions
from arvo_plpg.runtime.claim import claimed_deliveries
from arvo_plpg.runtime.route import Route
from arvo_plpg.runtime.station import Station

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from arvo_plpg.rows import Worked
    from arvo_plpg.runtime.delivery import Delivery
    from arvo_plpg.runtime.desk import Desk
    from arvo_plpg.runtime.registry import Registry
    from arvo_plpg.runtime.slot import Slot
    from arvo_plpg.telemetry.observer import Observer

_LEASE, _QUEUE, _KEY = attrgetter("lease"), attrgetter("queue"), attrgetter("key")

MOST_AT_ONCE = 1000
"""How many deliveries a call asks for, or reports, at most."""


class Stations:
    """Open from the start of a worker to its stop.

    Args:
        registry: the queues of the worker; one that is one of many is made known to it.
        desk: of the worker.
    """

    def __init__(self, registry: Registry, desk: Desk) -> None:
        self._registry = registry
        self._desk = desk
        self._stations: dict[str, Station] = {}
        self._known: dict[str, Station] = {}
        for route in registry.routes.values():
            self.open(route)

    def __iter__(self) -> Iterator[Station]:
        return iter(self._stations.values())

    def open(self, route: Route) -> None:
        """Open one for a route."""
        careful = self._registry.careful(route)
        self._stations[route.queue] = Station(route, self._desk, careful=careful)
        self._known.clear()

    def close(self, queue: str) -> None:
        """There is none for that queue any more."""
        self._stations.pop(queue, None)
        self._known.clear()

    def be_careful(self, queue: str) -> None:
        """Deliveries of that queue have one attempt."""
        if queue in self._stations:
            self._stations[queue].be_careful()

    @property
    def slots(self) -> list[Slot]:
        """All slots at work."""
        return [slot for station in self for slot in station.slots]

    def release(self, arrived_before: float) -> None:
        """Give back what has waited since before then, attempts not charged."""
        for station in self:
            station.release(arrived_before)

    def abandon(self, *, release: bool) -> None:
        """Cancel everything that runs, and forget it; or give it back."""
        for station in self:
            for slot in list(station.slots):
                station.abandon(slot, release=release)

    def lose(self, lease: int, held: Collection[int]) -> list[Delivery]:
        """Forget what is here under a lease without being held any more, and say what began."""
        return [delivery for station in self for delivery in station.lose(lease, held)]

    def wake(self, queue: str) -> bool:
        """There may be something in a queue, or, with an empty name, in all; say if it is here."""
        concerned = False
        for station in self:
            if not queue or station.route.matches(queue):
                station.woken = concerned = True
                station.claim_at = 0.0
        return concerned

    def wanted(self, now: float) -> dict[Station, int]:
        """Name those with room, and how much each has."""
        if self._desk.stopping:
            return {}
        rooms = {}
        for station in self._stations.values():
            station.woken = False
            if (room := station.room(now)) > 0:
                rooms[station] = min(room, MOST_AT_ONCE)
        return rooms

    def take(
        self, answers: Sequence[Worked], asked_at: float, observer: Observer
    ) -> dict[Station, int]:
        """Begin what was claimed; say how much that is."""
        now = time.monotonic()
        desk = self._desk
        got: dict[Station, int] = {}
        last: dict[tuple[int, int], Delivery] = {}
        deliveries = list(claimed_deliveries(answers, now, asked_at))
        for lease, count in Counter(map(_LEASE, deliveries)).items():
            desk.settlement.hold(lease, count)
        if observer.sinks:
            counted = Counter(map(_QUEUE, deliveries))
            for queue, count in counted.items():
                observer.claimed(queue, count)
        for queue, group in groupby(deliveries, _QUEUE):
            together = list(group)
            station = self._of(queue)
            if station is None or desk.stopping:
                nobody = Route(queue, _run_nothing, HandlerOptions())
                for delivery in together:
                    desk.settlement.add(nobody, delivery, delivery.released())
                continue
            got[station] = got.get(station, 0) + len(together)
            if set(map(_KEY, together)) == {None}:
                station.arrive_all(together)
            else:
                _arrive_in_lines(station, together, last)
        for station in got:
            station.begin()
        return got

    def _of(self, queue: str) -> Station | None:
        """Give the station of a queue; see to its registration, if it is one of many."""
        station = self._known.get(queue)
        if station is None:
            station = self._stations.get(queue) or next(
                (one for one in self if one.route.matches(queue)), None
            )
            if station is None:
                return None
            self._known[queue] = station
            self._registry.narrow(station.route, queue)
        return station


def _arrive_in_lines(
    station: Station, together: Sequence[Delivery], last: dict[tuple[int, int], Delivery]
) -> None:
    """Put each behind the last one of its key that came before it."""
    for delivery in together:
        if delivery.key is None:
            station.arrive(delivery)
        else:
            line = (delivery.key, delivery.lease)
            station.arrive(delivery, last.get(line))
            last[line] = delivery


async def _run_nothing(delivery: Delivery) -> dict[str, Any]:
    return delivery.released()
