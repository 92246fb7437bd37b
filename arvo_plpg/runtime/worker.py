"""Worker: claims deliveries, has them run, settles their results.

One coroutine owns the claiming connection. Each turn of its loop is one call of ``work``: settle
what has finished, claim as much as there is room for. While a call is on its way, the slots of the
stations work through what the calls before it brought; what they finish gathers for the next one.
So batches grow with the load. Under none, a result is sent at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from arvo_plpg.runtime.backoff import Backoff
from arvo_plpg.runtime.claim import AT_ONCE, idle_of, plan
from arvo_plpg.runtime.cleaner import Cleaner
from arvo_plpg.runtime.connect import is_lost
from arvo_plpg.runtime.desk import Desk
from arvo_plpg.runtime.ending import end
from arvo_plpg.runtime.exchange import Exchange, connect
from arvo_plpg.runtime.gate import Gate
from arvo_plpg.runtime.heartbeat import Heartbeat
from arvo_plpg.runtime.log_fields import log_fields
from arvo_plpg.runtime.registry import Registry
from arvo_plpg.runtime.rest import Rest
from arvo_plpg.runtime.station import LINGER_SECONDS, STALE_SECONDS
from arvo_plpg.runtime.stations import MOST_AT_ONCE, Stations
from arvo_plpg.runtime.terms import Terms
from arvo_plpg.telemetry.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg import AsyncConnection

    from arvo_plpg.rows import Queue, Worked
    from arvo_plpg.runtime.grace import Grace
    from arvo_plpg.runtime.log_fields import Logger
    from arvo_plpg.runtime.route import Route
    from arvo_plpg.runtime.settlement import Settlement
    from arvo_plpg.runtime.station import Station

_SETTLE_SECONDS = 10.0
_HURRIED_SECONDS = 3.0
_CANCEL_SECONDS = 1.0
_LONGEST_REST_SECONDS = 3600.0


class Worker:
    """Works on the queues of its routes until it is stopped.

    Args:
        dsn: the database; one connection for claiming, one for heartbeats, one for wake-ups.
        schema: name of the installation.
        name: what leases are signed with; host and process id by default.
        lease: seconds until a worker that has gone silent loses its deliveries.
        logger: where to report; a standard logger.
        listen_dsn: the database without a transaction pooler, for wake-ups; ``dsn`` otherwise.
        prepare_threshold: as in psycopg: after how many calls a statement is prepared; None: never.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "arvo",
        name: str | None = None,
        lease: float = 8.0,
        logger: Logger | None = None,
        listen_dsn: str | None = None,
        prepare_threshold: int | None = 5,
    ) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._terms = Terms(
            dsn=dsn,
            schema=schema,
            name=self.name,
            lease=lease,
            prepare_threshold=prepare_threshold,
            logger=logger or logging.getLogger("arvo_plpg"),
            observer=Observer(self.name),
        )
        self._registry = Registry()
        self._stations: Stations | None = None
        self._desk: Desk | None = None
        self._rest = Rest()
        self._gate = Gate(
            listen_dsn or dsn,
            schema,
            self._woken,
            self._wakeup_lost,
            direct=listen_dsn is not None,
        )
        self._looked_at = 0.0
        self._given_up = False
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def logger(self) -> Logger:
        """Where it reports; may be replaced at any time."""
        return self._terms.logger

    @logger.setter
    def logger(self, logger: Logger) -> None:
        self._terms.logger = logger

    @property
    def routes(self) -> list[str]:
        """Names of the queues that it works on."""
        return list(self._registry.routes)

    def add(self, route: Route, registered: Queue | None = None) -> None:
        """Work on one more queue.

        Args:
            route: the queue and who runs its deliveries.
            registered: the queue, if it is registered already; if not, and if the route names one
                queue, that is done before it is claimed from.

        Raises:
            AlreadyRegistered: there is a route of that queue.
        """
        self._registry.add(route, registered)
        if self._stations is not None:
            self._stations.open(route)
        self._rest.end()

    async def start(self) -> None:
        """Begin to work."""
        self._desk = desk = Desk(self._nudge, self._warn, lease=self._terms.lease)
        self._given_up = False
        self._stations = stations = Stations(self._registry, desk)
        self._loop_task = asyncio.create_task(self._work(desk, stations), name="arvo-worker")
        desk.worker = self._loop_task

    async def stop(self, grace: Grace) -> None:
        """Claim nothing more, let what runs finish, settle it, and end.

        What still runs after the grace period is cancelled and released: it goes back to its queue
        and its attempt is not charged. If the database does not answer, what could not be settled
        within further ten seconds, three from when it is to end at once, is left to the expiry of
        its lease. Can be started again.
        """
        loop_task, desk, stations = self._loop_task, self._desk, self._stations
        if loop_task is None or desk is None or stations is None:
            return
        desk.stopping = True
        stations.release(inf)
        self._rest.end()
        try:
            await grace.wait(lambda: [slot.task for slot in stations.slots])
            await self._leave(desk, stations)
            self._rest.end()
            settling = grace.then(_SETTLE_SECONDS, hurried=_HURRIED_SECONDS)
            await settling.wait(lambda: [] if loop_task.done() else [loop_task])
        except asyncio.CancelledError:
            # The event loop ends. So does the task of the worker, which settles in a hurry.
            await self._leave(desk, stations)
            await asyncio.wait([loop_task], timeout=_HURRIED_SECONDS + _CANCEL_SECONDS)
            raise
        finally:
            self._loop_task, self._given_up = None, True
            await end(loop_task)
            stations.abandon(release=False)
            desk.watch.stop()
            if unsettled := len(desk.settlement):
                self.logger.error(
                    "stopped without settling %d results; their leases will lapse", unsettled
                )
            self._desk = self._stations = None

    async def _leave(self, desk: Desk, stations: Stations) -> None:
        """Give back everything that is held: what runs is cancelled, and not charged."""
        desk.stopping = True
        stations.release(inf)
        stations.abandon(release=True)
        if desk.leaving:
            await asyncio.wait(desk.leaving, timeout=_CANCEL_SECONDS)

    async def _work(self, desk: Desk, stations: Stations) -> None:
        loop = asyncio.get_running_loop()
        wakeup = asyncio.create_task(self._gate.run())

        def lost(token: int, held: Collection[int]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(partial(self._lost, stations, token, held))

        def kept(at: float) -> None:
            desk.kept_at = at

        heartbeat = Heartbeat(
            self._terms.dsn,
            self._terms.schema,
            self._terms.lease,
            leases=desk.settlement.leases.copy,  # in its thread: one step of the interpreter
            lost=lost,
            kept=kept,
            warn=self._heartbeat_failed,
            prepare_threshold=self._terms.prepare_threshold,
        )
        heartbeat.start()
        backoff = Backoff()
        try:
            while not _finished(desk, stations):
                try:
                    async with await connect(self._terms) as connection:
                        await self._serve(desk, stations, connection, backoff)
                except Exception as error:  # noqa: BLE001 - nothing may end the loop but stop()
                    self._report_trouble(error, len(desk.settlement))
                    await asyncio.sleep(min(backoff.next(), 0.5 if desk.stopping else 60))
        except asyncio.CancelledError:
            if not self._given_up:
                await self._end_with_the_loop(desk, stations)
            raise
        finally:
            await end(wakeup)
            await asyncio.to_thread(heartbeat.stop)

    async def _end_with_the_loop(self, desk: Desk, stations: Stations) -> None:
        """The event loop ends, and nobody has called stop(): a handler has left the process, say.

        What has ended is settled and everything else given back, so that neighbours of that handler
        are not charged for it; if that takes long, it is left to the expiry of their leases.
        """
        try:
            async with asyncio.timeout(_HURRIED_SECONDS):
                await self._leave(desk, stations)
                async with await connect(self._terms) as connection:
                    await self._serve(desk, stations, connection, Backoff())
        except Exception as error:  # noqa: BLE001 - there is no other try
            self._report_trouble(error, len(desk.settlement))

    def _report_trouble(self, error: Exception, kept: int) -> None:
        if is_lost(error):
            self._terms.observer.reconnects("claims")
            self.logger.warning("connection lost (%s); %d results are kept", _kind(error), kept)
        else:
            self.logger.error("a call of the database failed", exc_info=error)

    async def _serve(
        self,
        desk: Desk,
        stations: Stations,
        connection: AsyncConnection[Any],
        backoff: Backoff,
    ) -> None:
        exchange = Exchange(connection, desk, self._terms)
        cleaner = Cleaner(connection, desk.over, self._terms)
        settlement = desk.settlement
        settlement.resend()
        while not _finished(desk, stations):
            await self._registry.register(exchange.broker, stations, self._terms)
            await exchange.settle_postponed()
            await cleaner.clean_up()
            now = time.monotonic()
            if (due := self._due(desk, stations, now)) > now:
                await self._rest.wait(due)
                continue
            reports = settlement.send(MOST_AT_ONCE)
            asked = stations.wanted(now)
            emits = any(report.emits for report in reports)
            # With nothing else at work, what is emitted is probably what runs next.
            hopping = emits and bool(asked) and not stations.slots
            found: list[Worked] | None
            if hopping:
                answers, found = await exchange.hop(reports, asked)
            else:
                answers = found = await exchange.call(reports, asked)
            backoff.reset()
            exchange.judge(answers)
            if found is None:
                # The results are judged already: if this is refused, they need not be sent again.
                found = await exchange.look(asked)
            self._looked_at = time.monotonic()
            got = stations.take(found, now, self._terms.observer)
            idle = idle_of(found)
            elsewhere = idle is not None and idle.wait != AT_ONCE
            again = emits and not hopping and not elsewhere
            plan(asked, got, idle, self._looked_at, again=again)
            await cleaner.clean_up()
            if got:
                asyncio.get_running_loop().call_soon(self._gate.end)  # after what was got begins
            elif idle is not None and not settlement.waiting and not again:
                self._gate.begin(station.route.queue for station in asked)
        await cleaner.clean_up_last()

    def _due(self, desk: Desk, stations: Stations, now: float) -> float:
        """When the next call is due; what has waited too long to be run is given back first."""
        settlement, stopping = desk.settlement, desk.stopping
        due = inf
        for station in stations:
            station.begin()
            station.release(now - STALE_SECONDS)
            if not stopping:
                due = min(due, station.due(self._looked_at), station.stale_at())
        if settlement.waiting:
            due = now if settlement.urgent or stopping else min(due, _gathered(settlement))
        return min(
            [
                now + _LONGEST_REST_SECONDS,
                due,
                desk.over.due,
                *(item.due for item in settlement.postponed),
            ]
        )

    def _nudge(self, station: Station) -> None:
        """Let the loop look whether a call is due: something has ended in a station."""
        if (desk := self._desk) is None or self._rest.until < 0:
            return
        settlement = desk.settlement
        due = station.due(self._looked_at)
        if settlement.waiting:
            due = 0.0 if settlement.urgent else min(due, _gathered(settlement))
        if due < self._rest.until or desk.stopping:
            self._rest.end()

    def _lost(self, stations: Stations, token: int, held: Collection[int]) -> None:
        """Cancel what runs under a lease without being held any more."""
        for delivery in stations.lose(token, held):
            self._terms.observer.lost(delivery.queue)
            self.logger.warning(
                "event %a in %a: its lease is lost; the handler is cancelled",
                delivery.event_id,
                delivery.queue,
                extra=log_fields(delivery),
            )
        self._rest.end()

    def _woken(self, queue: str) -> None:
        if self._stations is not None and self._stations.wake(queue):
            self._rest.end()

    def _warn(
        self, message: str, *facts: object, extra: Mapping[str, object] | None = None
    ) -> None:
        self.logger.warning(message, *facts, extra=extra)

    def _heartbeat_failed(self, message: str, *facts: object) -> None:
        self._terms.observer.reconnects("heartbeat")
        self._warn(message, *facts)

    def _wakeup_lost(self, message: str, *facts: object) -> None:
        self._terms.observer.reconnects("wakeup")
        self._warn(message, *facts)


def _finished(desk: Desk, stations: Stations) -> bool:
    return desk.stopping and not stations.slots and not len(desk.settlement)


def _gathered(settlement: Settlement) -> float:
    """Say when what waits to be settled has waited for long enough for more of its kind."""
    return settlement.since + LINGER_SECONDS


def _kind(error: BaseException) -> str:
    return type(error).__name__
