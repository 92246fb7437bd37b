"""Settlement: results on their way to the database, and the leases that they need."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.runtime.delivery import Delivery
    from arvo_plpg.runtime.route import Route

_LEASE = attrgetter("lease")


@dataclass(slots=True, eq=False)
class Report:
    """A result, and the deliveries of one lease that it is about.

    Attributes:
        route: who ran them.
        deliveries: one, or, if they are plainly completed, any number in the order of completion.
        result: the result of one; None if they are plainly completed.
        run_times: microseconds that each of the plainly completed ran.
    """

    route: Route
    deliveries: list[Delivery]
    result: dict[str, Any] | None = None
    run_times: list[int] = field(default_factory=list)

    @property
    def completed(self) -> bool:
        """Whether it says that the deliveries are completed."""
        return self.result is None or self.result["outcome"] == "completed"

    @property
    def emits(self) -> bool:
        """Whether it has events to emit."""
        return self.result is not None and "events" in self.result

    def of(self, delivery: Delivery) -> Report:
        """Give the result of one of its deliveries."""
        place = self.deliveries.index(delivery)
        return Report(self.route, [delivery], self.result, self.run_times[place : place + 1])

    def item(self) -> dict[str, Any]:
        """Give it in the form of ``arvo_v1.settle``."""
        if self.result is not None:
            return self.result
        return {
            "lease": self.deliveries[0].lease,
            "outcome": "completed",
            "deliveries": [delivery.number for delivery in self.deliveries],
            "run_times": self.run_times,
        }


@dataclass(frozen=True, slots=True)
class Postponed:
    """A result that waits for a lock which somebody else holds for long."""

    report: Report
    due: float
    wait: float


class Settlement:
    """Gathers results until they are sent, and keeps them until they are known to be settled.

    Attributes:
        waiting: not sent yet.
        sent: on their way, or sent without an answer.
        postponed: to be sent later.
        leases: how many deliveries of each lease are not settled; the heartbeat keeps these.
        since: when the first of those that wait came.
        urgent: whether one of those that wait should not wait for others.
    """

    __slots__ = ("_open", "leases", "postponed", "sent", "since", "urgent", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Report] = []
        self.sent: list[Report] = []
        self.postponed: list[Postponed] = []
        self.leases: dict[int, int] = {}
        self.since = 0.0
        self.urgent = False
        self._open: dict[int, Report] = {}

    def __len__(self) -> int:
        reports = [*self.sent, *self.waiting, *(item.report for item in self.postponed)]
        return sum(len(report.deliveries) for report in reports)

    def hold(self, lease: int, count: int) -> None:
        """Keep a lease for so many more deliveries."""
        self.leases[lease] = self.leases.get(lease, 0) + count

    def let_go(self, lease: int, count: int = 1) -> None:
        """The lease has fewer deliveries to be kept for."""
        left = self.leases.get(lease, 0) - count
        if left > 0:
            self.leases[lease] = left
        else:
            self.leases.pop(lease, None)

    def complete(self, route: Route, deliveries: Sequence[Delivery], run_time: int) -> None:
        """Add deliveries that are completed, with nothing to emit and nothing to store.

        Args:
            route: who ran them.
            deliveries: what ran together, in its order.
            run_time: microseconds that each of them took.
        """
        for lease, group in groupby(deliveries, _LEASE):
            report = self._open.get(lease)
            if report is None:
                self._open[lease] = report = Report(route, [])
                self._wait(report)
            together = list(group)
            for delivery in together:
                if delivery.key is not None:
                    self.urgent = True  # others of its key wait
                delivery.forget()
            report.deliveries += together
            report.run_times += [run_time] * len(together)

    def add(self, route: Route, delivery: Delivery, result: dict[str, Any]) -> None:
        """Add any other result."""
        if delivery.key is not None:
            # Of an ordered key: what completes after this one must come after it.
            self._open.pop(delivery.lease, None)
        self.urgent = True
        self._wait(Report(route, [delivery], result))

    def _wait(self, report: Report) -> None:
        if not self.waiting:
            self.since = time.monotonic()
        self.waiting.append(report)

    def postpone(self, report: Report, wait: float, next_wait: float) -> None:
        """Send it again in some seconds; if that fails, after so many others."""
        self.postponed.append(Postponed(report, time.monotonic() + wait, next_wait))

    def due(self, now: float) -> Postponed | None:
        """Take the first postponed result whose time has come; it counts as sent."""
        for item in self.postponed:
            if item.due <= now:
                self.postponed.remove(item)
                self.sent = [item.report]
                return item
        return None

    def send(self, most: int) -> list[Report]:
        """Take what waits, up to about so many deliveries; it counts as sent."""
        count = taken = 0
        for report in self.waiting:
            if count >= most:
                break
            count += len(report.deliveries)
            taken += 1
        self.sent, self.waiting = self.waiting[:taken], self.waiting[taken:]
        self._open.clear()
        self.urgent = bool(self.waiting)
        return self.sent

    def answered(self) -> list[Report]:
        """Take what was sent: there is an answer to it."""
        reports, self.sent = self.sent, []
        return reports

    def resend(self) -> None:
        """Send again what was sent without an answer. What was committed is "already" then."""
        if self.sent:
            self.waiting[:0] = self.sent
            self.sent = []
            self.urgent = True
