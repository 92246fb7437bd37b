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
from collections import Counter
from datetime import timedelta
from functools import partial
from itertools import groupby
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import psycopg

from arvo_plpg._async.broker import Broker
from arvo_plpg._async.memory import Memory
from arvo_plpg.errors import AlreadyRegistered, ArvoError
from arvo_plpg.options import HandlerOptions
from arvo_plpg.runtime.backoff import Backoff
from arvo_plpg.runtime.claim import AT_ONCE, claimed_delivery, idle_of, plan
from arvo_plpg.runtime.connect import connection_parameters, is_lost
from arvo_plpg.runtime.desk import Desk
from arvo_plpg.runtime.ending import end
from arvo_plpg.runtime.gate import Gate
from arvo_plpg.runtime.heartbeat import Heartbeat
from arvo_plpg.runtime.judge import POSTPONE_SECONDS, judge
from arvo_plpg.runtime.loaders import read_quickly
from arvo_plpg.runtime.log_fields import log_fields
from arvo_plpg.runtime.rest import Rest
from arvo_plpg.runtime.route import Route
from arvo_plpg.runtime.station import LINGER_SECONDS, STALE_SECONDS, Station
from arvo_plpg.telemetry.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arvo_plpg.rows import Queue, Worked
    from arvo_plpg.runtime.delivery import Delivery
    from arvo_plpg.runtime.log_fields import Logger
    from arvo_plpg.runtime.settlement import Report, Settlement
    from arvo_plpg.runtime.slot import Slot
    from arvo_plpg.telemetry.observer import Tally

_MOST_AT_ONCE = 1000
_LONGEST_POSTPONE_SECONDS = 30.0
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
        self._dsn = dsn
        self._prepare_threshold = prepare_threshold
        self._schema = schema
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._lease = lease
        self.logger: Logger = logger or logging.getLogger("arvo_plpg")
        self._routes: dict[str, Route] = {}
        self._unregistered: list[Route] = []
        self._narrowed: set[str] = set()
        self._careful: set[str] = set()
        self._stations: dict[str, Station] = {}
        self._known: dict[str, Station] = {}
        self._desk: Desk | None = None
        self._rest = Rest()
        self._observer = Observer(self.name)
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
    def routes(self) -> list[str]:
        """Names of the queues that it works on."""
        return list(self._routes)

    def add(self, route: Route, registered: Queue | None = None) -> None:
        """Work on one more queue.

        Args:
            route: the queue and who runs its deliveries.
            registered: the queue, if it is registered already; if not, and if the route names one
                queue, that is done before it is claimed from.

        Raises:
            AlreadyRegistered: there is a route of that queue.
        """
        if route.queue in self._routes:
            raise AlreadyRegistered(
                f"Handler registration failed: A handler with source '{route.queue}' is already "
                "registered.",
                hint="Register each source once in a process.",
            )
        self._routes[route.queue] = route
        if registered is not None:
            self._once_only(registered)
        elif route.concrete:
            self._unregistered.append(route)
        if self._desk is not None:
            self._stations[route.queue] = self._station(route, self._desk)
            self._known.clear()
        self._rest.end()

    def _once_only(self, queue: Queue) -> None:
        """Note whether deliveries of a queue have one attempt, which nothing should use up."""
        if queue.retry_limit == 0:
            self._careful.add(queue.queue)
        else:
            self._careful.discard(queue.queue)

    def _station(self, route: Route, desk: Desk) -> Station:
        single = route.options.worker.retry_limit == 0
        return Station(route, desk, careful=single or route.queue in self._careful)

    async def start(self) -> None:
        """Begin to work."""
        self._desk = desk = Desk(self._nudge, self._warn, lease=self._lease)
        self._given_up = False
        self._stations = {
            queue: self._station(route, desk) for queue, route in self._routes.items()
        }
        self._known.clear()
        self._loop_task = asyncio.create_task(self._work(desk), name="arvo-worker")
        desk.worker = self._loop_task

    async def stop(self, grace: float = 30.0) -> None:
        """Claim nothing more, let what runs finish, settle it, and end.

        What still runs after ``grace`` seconds is cancelled and released: it goes back to its queue
        and its attempt is not charged. If the database does not answer, what could not be settled
        within further ten seconds is left to the expiry of its lease. Can be started again.
        """
        loop_task, desk = self._loop_task, self._desk
        if loop_task is None or desk is None:
            return
        desk.stopping = True
        for station in self._stations.values():
            station.release(inf)
        self._rest.end()
        try:
            await self._drain(desk, grace)
            await asyncio.wait([loop_task], timeout=_SETTLE_SECONDS)
        finally:
            self._loop_task, self._given_up = None, True
            await end(loop_task)
            for station in self._stations.values():
                for slot in list(station.slots):
                    station.abandon(slot, release=False)
            desk.watch.stop()
            if unsettled := len(desk.settlement):
                self.logger.error(
                    "stopped without settling %d results; their leases will lapse", unsettled
                )
            self._desk, self._stations = None, {}

    async def _drain(self, desk: Desk, grace: float) -> None:
        deadline = time.monotonic() + grace
        while (slots := self._slots()) and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait([slot.task for slot in slots], timeout=left)
        await self._leave(desk)
        self._rest.end()

    async def _leave(self, desk: Desk) -> None:
        """Give back everything that is held: what runs is cancelled, and not charged."""
        desk.stopping = True
        for station in self._stations.values():
            station.release(inf)
            for slot in list(station.slots):
                station.abandon(slot, release=True)
        if desk.leaving:
            await asyncio.wait(desk.leaving, timeout=_CANCEL_SECONDS)

    def _slots(self) -> list[Slot]:
        return [slot for station in self._stations.values() for slot in station.slots]

    async def _work(self, desk: Desk) -> None:
        loop = asyncio.get_running_loop()
        wakeup = asyncio.create_task(self._gate.run())

        def lost(token: int, held: Collection[int]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(partial(self._lost, token, held))

        def kept(at: float) -> None:
            desk.kept_at = at

        heartbeat = Heartbeat(
            self._dsn,
            self._schema,
            self._lease,
            leases=desk.settlement.leases.copy,  # in its thread: one step of the interpreter
            lost=lost,
            kept=kept,
            warn=self._heartbeat_failed,
            prepare_threshold=self._prepare_threshold,
        )
        heartbeat.start()
        backoff = Backoff()
        try:
            while not self._finished(desk):
                try:
                    async with await self._connect() as connection:
                        await self._serve(desk, connection, backoff)
                except Exception as error:  # noqa: BLE001 - nothing may end the loop but stop()
                    self._report_trouble(error, len(desk.settlement))
                    await asyncio.sleep(min(backoff.next(), 0.5 if desk.stopping else 60))
        except asyncio.CancelledError:
            if not self._given_up:
                await self._end_with_the_loop(desk)
            raise
        finally:
            await end(wakeup)
            await asyncio.to_thread(heartbeat.stop)

    async def _end_with_the_loop(self, desk: Desk) -> None:
        """The event loop ends, and nobody has called stop(): a handler has left the process, say.

        What has ended is settled and everything else given back, so that neighbours of that handler
        are not charged for it; if that takes long, it is left to the expiry of their leases.
        """
        try:
            async with asyncio.timeout(_HURRIED_SECONDS):
                await self._leave(desk)
                async with await self._connect() as connection:
                    await self._serve(desk, connection, Backoff())
        except Exception as error:  # noqa: BLE001 - there is no other try
            self._report_trouble(error, len(desk.settlement))

    def _report_trouble(self, error: Exception, kept: int) -> None:
        if is_lost(error):
            self._observer.reconnects("claims")
            self.logger.warning("connection lost (%s); %d results are kept", _kind(error), kept)
        else:
            self.logger.error("a call of the database failed", exc_info=error)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            **connection_parameters(
                self._dsn,
                f"{self._schema}-worker",
                prepare_threshold=self._prepare_threshold,
            ),
        )
        read_quickly(connection)
        return connection

    async def _serve(
        self, desk: Desk, connection: psycopg.AsyncConnection[Any], backoff: Backoff
    ) -> None:
        broker = Broker(connection, schema=self._schema)
        settlement = desk.settlement
        settlement.resend()
        while not self._finished(desk):
            await self._register(broker)
            await self._settle_postponed(desk, broker)
            await self._clean_up(desk, connection)
            now = time.monotonic()
            if (due := self._due(desk, now)) > now:
                await self._rest.wait(due)
                continue
            reports = settlement.send(_MOST_AT_ONCE)
            asked = self._wanted(desk, now)
            emits = any(report.emits for report in reports)
            hopping = emits and not self._slots()
            answers = await self._call(desk, broker, reports, asked, hopping=hopping)
            backoff.reset()
            self._judge(desk, answers)
            if hopping and asked:
                # The results are judged already: if this is refused, they need not be sent again.
                answers = await self._look(broker, asked)
            self._looked_at = time.monotonic()
            got = self._take(desk, answers, now)
            idle = idle_of(answers)
            elsewhere = idle is not None and idle.wait != AT_ONCE
            again = emits and not hopping and not elsewhere
            plan(asked, got, idle, self._looked_at, again=again)
            await self._clean_up(desk, connection)
            if got:
                self._gate.end()
            elif idle is not None and not settlement.waiting and not again:
                self._gate.begin(station.route.queue for station in asked)

    async def _call(
        self,
        desk: Desk,
        broker: Broker,
        reports: Sequence[Report],
        asked: Mapping[Station, int],
        *,
        hopping: bool,
    ) -> list[Worked]:
        """Exchange results for deliveries, watched if that is wanted; one by one if refused."""
        observer = self._observer
        watched = observer.look()
        desk.tracing = observer.tracing
        began = time.time_ns() if watched else 0
        try:
            answers = await self._exchange(broker, reports, asked, hopping=hopping)
        except (ArvoError, psycopg.Error) as error:
            if watched:
                observer.exchanged(reports, began, error)
            if is_lost(error) or not reports:
                raise
            return await self._one_by_one(desk, broker, POSTPONE_SECONDS)
        if watched:
            observer.exchanged(reports, began)
        return answers

    async def _exchange(
        self,
        broker: Broker,
        reports: Sequence[Report],
        asked: Mapping[Station, int],
        *,
        hopping: bool,
    ) -> list[Worked]:
        """Settle what is to be settled, and claim what there is room for.

        With nothing to settle nobody waits for the disk. When something was emitted and nothing
        else runs, that is probably what is next, and the call that settles cannot claim it: then a
        look follows it.
        """
        results = [report.item() for report in reports]
        if not asked or hopping:
            return await broker.work(results)
        if not results:
            return await self._look(broker, asked)
        queues = [station.route.queue for station in asked]
        limits = list(asked.values())
        most = min(sum(limits), _MOST_AT_ONCE)
        lease = timedelta(seconds=self._lease)
        return await broker.work(results, queues, most, self.name, limits=limits, lease=lease)

    async def _look(self, broker: Broker, asked: Mapping[Station, int]) -> list[Worked]:
        queues, limits = [station.route.queue for station in asked], list(asked.values())
        return await broker.look(
            queues,
            min(sum(limits), _MOST_AT_ONCE),
            self.name,
            limits=limits,
            lease=timedelta(seconds=self._lease),
        )

    async def _clean_up(self, desk: Desk, connection: psycopg.AsyncConnection[Any]) -> None:
        """Forget the states of finished workflows; what fails is tried again on the next one."""
        while desk.over:
            await Memory(connection, schema=self._schema).cleanup_state(desk.over[0])
            desk.over.popleft()

    async def _settle_postponed(self, desk: Desk, broker: Broker) -> None:
        """Try again what waited for a lock; one at a time, so that the others are not held up."""
        first = desk.settlement.due(time.monotonic())
        if first is not None:
            self._judge(desk, await self._one_by_one(desk, broker, first.wait))

    def _judge(self, desk: Desk, answers: Sequence[Worked]) -> None:
        """Take note of what became of the results."""
        reports, observer = desk.settlement.answered(), self._observer
        if not observer.sinks:
            judge(desk, reports, answers, self.logger)
            return
        tally: Tally = Counter()
        judge(desk, reports, answers, self.logger, tally)
        observer.settled(tally)
        observer.ran(reports)

    async def _one_by_one(self, desk: Desk, broker: Broker, wait: float) -> list[Worked]:
        """Settle each result by itself: the call with all of them was refused as a whole.

        A result that needs a lock which somebody holds for long is put off for ``wait`` seconds,
        and twice as long the next time.
        """
        answers: list[Worked] = []
        settlement = desk.settlement
        for report in list(settlement.sent):
            try:
                answers += await broker.work([report.item()])
            except (ArvoError, psycopg.Error) as error:
                if is_lost(error):
                    raise
                settlement.sent.remove(report)
                first = report.deliveries[0]
                if isinstance(error, psycopg.errors.LockNotAvailable):
                    self.logger.warning(
                        "event %a in %a: somebody holds a lock that its settlement needs; "
                        "trying again in %.0f s",
                        first.event_id,
                        first.queue,
                        wait,
                        extra=log_fields(first),
                    )
                    longer = min(wait * 2, _LONGEST_POSTPONE_SECONDS)
                    settlement.postpone(report, wait, longer)
                    continue
                self.logger.error(  # noqa: TRY400 - what the database says is enough
                    "event %a in %a, attempt %d: its result cannot be settled: %a",
                    first.event_id,
                    first.queue,
                    first.attempt,
                    str(error)[:500],
                )
                for delivery in report.deliveries:
                    desk.turns.give(delivery)
                    if report.completed:
                        settlement.add(report.route, delivery, delivery.failed(error))
                    else:
                        settlement.let_go(delivery.lease)
        return answers

    async def _register(self, broker: Broker) -> None:
        while self._unregistered:
            route = self._unregistered[0]
            try:
                queue = await broker.register_queue(
                    route.queue,
                    stateful=route.stateful,
                    worker=self.name,
                    **route.options.registration(),
                )
            except ArvoError as error:
                self.logger.error(  # noqa: TRY400 - the error says it all
                    "queue %a cannot be registered, it is not worked on: %s", route.queue, error
                )
                self._routes.pop(route.queue, None)
                self._stations.pop(route.queue, None)
                self._known.clear()
            else:
                self._once_only(queue)
                if route.queue in self._stations and queue.retry_limit == 0:
                    self._stations[route.queue].be_careful()
                if queue.change != "unchanged":
                    self.logger.info("queue %a: %s", queue.queue, queue.change)
            self._unregistered.pop(0)

    def _due(self, desk: Desk, now: float) -> float:
        """When the next call is due; what has waited too long to be run is given back first."""
        settlement, stopping = desk.settlement, desk.stopping
        due = inf
        for station in self._stations.values():
            station.begin()
            station.release(now - STALE_SECONDS)
            if not stopping:
                due = min(due, station.due(self._looked_at), station.stale_at())
        if settlement.waiting:
            due = now if settlement.urgent or stopping else min(due, self._gathered(settlement))
        return min(
            [
                now + _LONGEST_REST_SECONDS,
                due,
                *(item.due for item in settlement.postponed),
            ]
        )

    def _wanted(self, desk: Desk, now: float) -> dict[Station, int]:
        """Name the stations with room, and how much each has."""
        if desk.stopping:
            return {}
        rooms = {}
        for station in self._stations.values():
            station.woken = False
            if (room := station.room(now)) > 0:
                rooms[station] = min(room, _MOST_AT_ONCE)
        return rooms

    def _take(self, desk: Desk, answers: Sequence[Worked], asked_at: float) -> dict[Station, int]:
        """Begin what was claimed; say how much that is."""
        now = time.monotonic()
        got: dict[Station, int] = {}
        last: dict[tuple[int, int], Delivery] = {}
        deliveries = [
            claimed_delivery(row, now, asked_at) for row in answers if row.kind == "claimed"
        ]
        for lease, count in Counter(delivery.lease for delivery in deliveries).items():
            desk.settlement.hold(lease, count)
        if self._observer.sinks:
            counted = Counter(delivery.queue for delivery in deliveries)
            for queue, count in counted.items():
                self._observer.claimed(queue, count)
        for queue, together in groupby(deliveries, attrgetter("queue")):
            station = self._station_of(queue)
            if station is None or desk.stopping:
                nobody = Route(queue, _run_nothing, HandlerOptions())
                for delivery in together:
                    desk.settlement.add(nobody, delivery, delivery.released())
                continue
            before = station.held
            for delivery in together:
                if delivery.key is None:
                    station.arrive(delivery)
                else:
                    line = (delivery.key, delivery.lease)
                    station.arrive(delivery, last.get(line))
                    last[line] = delivery
            got[station] = got.get(station, 0) + station.held - before
        for station in got:
            station.begin()
        return got

    def _station_of(self, queue: str) -> Station | None:
        """Give the station of a queue; register the queue, if it is one of many with options."""
        station = self._known.get(queue)
        if station is None:
            station = self._stations.get(queue) or next(
                (one for one in self._stations.values() if one.route.matches(queue)), None
            )
            if station is None:
                return None
            self._known[queue] = station
            narrowed = station.route.narrowed(queue)
            if queue not in self._narrowed and narrowed is not None:
                self._narrowed.add(queue)
                self._unregistered.append(narrowed)
        return station

    def _nudge(self, station: Station) -> None:
        """Let the loop look whether a call is due: something has ended in a station."""
        if (desk := self._desk) is None or self._rest.until < 0:
            return
        settlement = desk.settlement
        due = station.due(self._looked_at)
        if settlement.waiting:
            due = 0.0 if settlement.urgent else min(due, self._gathered(settlement))
        if due < self._rest.until or desk.stopping:
            self._rest.end()

    def _gathered(self, settlement: Settlement) -> float:
        return settlement.since + LINGER_SECONDS

    def _lost(self, token: int, held: Collection[int]) -> None:
        """Cancel what runs under a lease without being held any more."""
        for station in self._stations.values():
            for delivery in station.lose(token, held):
                self._observer.lost(delivery.queue)
                self.logger.warning(
                    "event %a in %a: its lease is lost; the handler is cancelled",
                    delivery.event_id,
                    delivery.queue,
                    extra=log_fields(delivery),
                )
        self._rest.end()

    def _woken(self, queue: str) -> None:
        for station in self._stations.values():
            if not queue or station.route.matches(queue):
                station.woken = True
                station.claim_at = 0.0
                self._rest.end()

    def _warn(
        self, message: str, *facts: object, extra: Mapping[str, object] | None = None
    ) -> None:
        self.logger.warning(message, *facts, extra=extra)

    def _heartbeat_failed(self, message: str, *facts: object) -> None:
        self._observer.reconnects("heartbeat")
        self._warn(message, *facts)

    def _wakeup_lost(self, message: str, *facts: object) -> None:
        self._observer.reconnects("wakeup")
        self._warn(message, *facts)

    def _finished(self, desk: Desk) -> bool:
        return desk.stopping and not self._slots() and not len(desk.settlement)


async def _run_nothing(delivery: Delivery) -> dict[str, Any]:
    return delivery.released()


def _kind(error: BaseException) -> str:
    return type(error).__name__
