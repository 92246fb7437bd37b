"""Exchange: results for deliveries, in one call of the database or in several."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

import psycopg

from arvo_plpg._async.broker import Broker
from arvo_plpg.errors import ArvoError, InvalidArgument
from arvo_plpg.jsonb import as_jsonb
from arvo_plpg.runtime.connect import connection_parameters, is_lost
from arvo_plpg.runtime.hop import Hop
from arvo_plpg.runtime.judge import POSTPONE_SECONDS, judge
from arvo_plpg.runtime.line import Line
from arvo_plpg.runtime.loaders import read_quickly
from arvo_plpg.runtime.log_fields import log_fields
from arvo_plpg.runtime.stations import MOST_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arvo_plpg.rows import Worked
    from arvo_plpg.runtime.desk import Desk
    from arvo_plpg.runtime.settlement import Report
    from arvo_plpg.runtime.station import Station
    from arvo_plpg.runtime.terms import Terms
    from arvo_plpg.telemetry.observer import Tally

_LONGEST_POSTPONE_SECONDS = 30.0


class _Claiming(TypedDict):
    queues: list[str]
    limit: int
    worker: str
    limits: list[int]
    lease: timedelta


class Exchange:
    """Makes the calls that settle and claim, on one connection.

    Args:
        connection: the claiming one, in autocommit.
        desk: where results wait to be sent.
        terms: of the worker.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any], desk: Desk, terms: Terms) -> None:
        self.broker = Broker(connection, schema=terms.schema)
        self._desk = desk
        self._terms = terms
        self._lease = timedelta(seconds=terms.lease)
        self._hop = Hop(connection, terms.schema, prepared=terms.prepare_threshold is not None)

    async def hop(
        self, reports: Sequence[Report], asked: Mapping[Station, int]
    ) -> tuple[list[Worked], list[Worked] | None]:
        """Settle, and claim what comes of that: no call can claim what it has emitted itself.

        Args:
            reports: what was taken from the settlement; something is emitted.
            asked: how much each station has room for.

        Returns:
            What became of the results, and what was claimed; None if that is to be tried again.
        """
        observer = self._terms.observer
        watched = observer.look()
        self._desk.tracing = observer.tracing
        began = time.time_ns() if watched else 0
        answers, found = None, None
        with suppress(InvalidArgument):  # which one of them is told by the call
            results = as_jsonb([report.item() for report in reports])
            answers, found = await self._hop.make({"results": results}, self._claiming(asked))
        if answers is None:
            return await self.call(reports, {}), found
        if watched:
            observer.exchanged(reports, began)
        return answers, found

    async def call(self, reports: Sequence[Report], asked: Mapping[Station, int]) -> list[Worked]:
        """Settle what is to be settled, and claim what there is room for; one by one if refused.

        With nothing to settle nobody waits for the disk.

        Args:
            reports: what was taken from the settlement.
            asked: how much each station has room for.
        """
        observer = self._terms.observer
        watched = observer.look()
        self._desk.tracing = observer.tracing
        began = time.time_ns() if watched else 0
        try:
            answers = await self._send(reports, asked)
        except (ArvoError, psycopg.Error) as error:
            if watched:
                observer.exchanged(reports, began, error)
            if is_lost(error) or not reports:
                raise
            return await self._one_by_one(POSTPONE_SECONDS)
        if watched:
            observer.exchanged(reports, began)
        return answers

    async def look(self, asked: Mapping[Station, int]) -> list[Worked]:
        """Claim only."""
        return await self.broker.look(**self._claiming(asked))

    async def settle_postponed(self) -> None:
        """Try again what waited for a lock; one at a time, so that the others are not held up."""
        first = self._desk.settlement.due(time.monotonic())
        if first is not None:
            self.judge(await self._one_by_one(first.wait))

    def judge(self, answers: Sequence[Worked]) -> None:
        """Take note of what became of the results."""
        desk, observer, logger = self._desk, self._terms.observer, self._terms.logger
        reports = desk.settlement.answered()
        if not observer.sinks:
            judge(desk, reports, answers, logger)
            return
        tally: Tally = Counter()
        judge(desk, reports, answers, logger, tally)
        observer.settled(tally)
        observer.ran(reports)

    async def _send(self, reports: Sequence[Report], asked: Mapping[Station, int]) -> list[Worked]:
        results = [report.item() for report in reports]
        if not asked:
            return await self.broker.work(results)
        if not results:
            return await self.look(asked)
        return await self.broker.work(results, **self._claiming(asked))

    def _claiming(self, asked: Mapping[Station, int]) -> _Claiming:
        limits = list(asked.values())
        return {
            "queues": [station.route.queue for station in asked],
            "limit": min(sum(limits), MOST_AT_ONCE),
            "worker": self._terms.name,
            "limits": limits,
            "lease": self._lease,
        }

    async def _one_by_one(self, wait: float) -> list[Worked]:
        """Settle each result by itself: the call with all of them was refused as a whole.

        A result that needs a lock which somebody holds for long is put off for ``wait`` seconds,
        and twice as long the next time.
        """
        answers: list[Worked] = []
        settlement = self._desk.settlement
        for report in list(settlement.sent):
            try:
                answers += await self.broker.work([report.item()])
            except (ArvoError, psycopg.Error) as error:
                if is_lost(error):
                    raise
                settlement.sent.remove(report)
                if isinstance(error, psycopg.errors.LockNotAvailable):
                    self._postpone(report, wait)
                else:
                    self._refuse(report, error)
        return answers

    def _postpone(self, report: Report, wait: float) -> None:
        first = report.deliveries[0]
        self._terms.logger.warning(
            "event %a in %a: somebody holds a lock that its settlement needs; "
            "trying again in %.0f s",
            first.event_id,
            first.queue,
            wait,
            extra=log_fields(first),
        )
        self._desk.settlement.postpone(report, wait, min(wait * 2, _LONGEST_POSTPONE_SECONDS))

    def _refuse(self, report: Report, error: Exception) -> None:
        first = report.deliveries[0]
        self._terms.logger.error(
            "event %a in %a, attempt %d: its result cannot be settled: %a",
            first.event_id,
            first.queue,
            first.attempt,
            str(error)[:500],
        )
        settlement = self._desk.settlement
        for delivery in report.deliveries:
            self._desk.turns.give(delivery)
            if report.completed:
                settlement.add(report.route, delivery, delivery.failed(error))
            else:
                settlement.let_go(delivery.lease)


async def connect(terms: Terms) -> psycopg.AsyncConnection[Any]:
    """Open a connection to claim on, in autocommit."""
    connection = await Line.connect(
        terms.dsn,
        autocommit=True,
        **connection_parameters(
            terms.dsn, f"{terms.schema}-worker", prepare_threshold=terms.prepare_threshold
        ),
    )
    read_quickly(connection)
    return connection
