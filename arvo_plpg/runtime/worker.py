"""Worker: claims deliveries, runs them, settles their results.

One coroutine owns the claiming connection. Each turn of its loop is one call of ``work``: settle
what has finished, claim as much as there are free slots. Results that arrive while a call is on its
way gather for the next one, so batches grow with the load and nothing waits for a timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from arvo_plpg._async.broker import Broker
from arvo_plpg.errors import ArvoError
from arvo_plpg.event import ArvoEvent
from arvo_plpg.machine_memory import StateRecord
from arvo_plpg.runtime.backoff import Backoff
from arvo_plpg.runtime.delivery import Delivery
from arvo_plpg.runtime.heartbeat import Heartbeat
from arvo_plpg.runtime.turns import Turns
from arvo_plpg.runtime.wakeup import listen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arvo_plpg.rows import Worked
    from arvo_plpg.runtime.route import Route

LOST_CONNECTION = (psycopg.OperationalError, psycopg.InterfaceError, OSError)


@dataclass(slots=True)
class _Running:
    delivery: Delivery
    route: Route
    task: asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class _Report:
    """A result, and the delivery that it is about."""

    delivery: Delivery
    result: dict[str, Any]


class Worker:
    """Works on the queues of its routes until it is stopped.

    Args:
        dsn: the database; one connection for claiming, one for heartbeats, one for wake-ups.
        schema: name of the installation.
        name: what leases are signed with; host and process id by default.
        lease: seconds until a worker that has gone silent loses its deliveries.
        logger: where to report; a standard logger.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "arvo",
        name: str | None = None,
        lease: float = 8.0,
        logger: logging.Logger | None = None,
    ) -> None:
        self._dsn = dsn
        self._schema = schema
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._lease = lease
        self.logger = logger or logging.getLogger("arvo_plpg")
        self._routes: dict[str, Route] = {}
        self._unregistered: list[Route] = []
        self._running: dict[int, _Running] = {}
        self._reports: list[_Report] = []
        self._turns = Turns()
        self._signal = asyncio.Event()
        self._stopping = False
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def routes(self) -> list[str]:
        """Names of the queues that it works on."""
        return list(self._routes)

    def add(self, route: Route) -> None:
        """Work on one more queue; one that names its queue is registered before it is claimed."""
        self._routes[route.queue] = route
        if route.concrete:
            self._unregistered.append(route)
        self._signal.set()

    async def start(self) -> None:
        """Begin to work."""
        self._stopping = False
        self._signal = asyncio.Event()
        self._loop_task = asyncio.create_task(self._work(), name="arvo-worker")

    async def stop(self, grace: float = 30.0) -> None:
        """Claim nothing more, let what runs finish, settle it, and end.

        What still runs after ``grace`` seconds is cancelled and released: it goes back to its queue
        and its attempt is not charged. Can be started again.
        """
        if self._loop_task is None:
            return
        self._stopping = True
        self._signal.set()
        running = [entry.task for entry in self._running.values()]
        if running:
            _, late = await asyncio.wait(running, timeout=grace)
            for entry in list(self._running.values()):
                if entry.task in late:
                    self._abandon(entry, entry.delivery.released())
        self._signal.set()
        await self._loop_task
        self._loop_task = None

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        wakeup = asyncio.create_task(listen(self._dsn, self._schema, self._woken))
        heartbeat = Heartbeat(
            self._dsn,
            self._schema,
            self._lease,
            self._held,
            lambda token: loop.call_soon_threadsafe(partial(self._lost, token)),
        )
        heartbeat.start()
        backoff = Backoff()
        try:
            while not self._finished():
                try:
                    async with await self._connect() as connection:
                        await self._serve(connection, backoff)
                except LOST_CONNECTION as error:
                    self.logger.warning(
                        "connection lost (%s); %d results are kept",
                        type(error).__name__,
                        len(self._reports),
                    )
                    await asyncio.sleep(backoff.next())
                except ArvoError:
                    self.logger.exception("the database refused a call")
                    await asyncio.sleep(backoff.next())
        finally:
            wakeup.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await wakeup
            await asyncio.to_thread(heartbeat.stop)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, application_name=f"{self._schema}-worker"
        )

    async def _serve(self, connection: psycopg.AsyncConnection[Any], backoff: Backoff) -> None:
        broker = Broker(connection, schema=self._schema)
        while not self._finished():
            await self._register(broker)
            self._signal.clear()
            queues, limits = self._wanted()
            reports, self._reports = self._reports, []
            if not reports and not queues:
                await self._rest(None)
                continue
            try:
                answers = await broker.work(
                    [report.result for report in reports],
                    queues or None,
                    sum(limits),
                    self._name,
                    limits=limits or None,
                    lease=timedelta(seconds=self._lease),
                )
            except BaseException:
                # Whether it was committed is not known. Sent again, an item that was is "already".
                self._reports = reports + self._reports
                raise
            backoff.reset()
            again = any("events" in report.result for report in reports)
            claimed, wait = self._take(answers, reports)
            if not (claimed or again or self._reports):
                await self._rest(wait)

    async def _register(self, broker: Broker) -> None:
        while self._unregistered:
            route = self._unregistered[0]
            queue = await broker.register_queue(
                route.queue, stateful=route.stateful, **route.options.registration()
            )
            if queue.change != "unchanged":
                self.logger.info("queue %a: %s", queue.queue, queue.change)
            self._unregistered.pop(0)

    def _wanted(self) -> tuple[list[str], list[int]]:
        """Name the queues with free slots, and how many each has."""
        if self._stopping:
            return [], []
        busy: dict[str, int] = {}
        for entry in self._running.values():
            busy[entry.route.queue] = busy.get(entry.route.queue, 0) + 1
        free = {
            queue: route.options.worker.concurrency - busy.get(queue, 0)
            for queue, route in self._routes.items()
        }
        open_ = {queue: slots for queue, slots in free.items() if slots > 0}
        return list(open_), list(open_.values())

    async def _rest(self, wait: timedelta | None) -> None:
        """Sleep until something happens, something is due, or it is time to poll."""
        polls = [route.options.worker.polling_interval_seconds for route in self._routes.values()]
        longest = min(polls, default=2.0) * random.uniform(0.8, 1.0)  # noqa: S311 - jitter
        if wait is not None:
            longest = min(longest, max(wait.total_seconds(), 0.001))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._signal.wait()

    def _take(
        self, answers: Iterable[Worked], reports: Iterable[_Report]
    ) -> tuple[int, timedelta | None]:
        verdicts = {}
        claimed = 0
        wait = None
        for answer in answers:
            if answer.kind == "settled":
                verdicts[answer.lease, answer.delivery] = answer
        for report in reports:
            verdict = verdicts.get((report.delivery.lease, report.delivery.number))
            self._settled(report, verdict)
        for answer in answers:
            if answer.kind == "claimed":
                claimed += self._begin(answer)
            elif answer.kind == "idle":
                wait = answer.wait
        return claimed, wait

    def _settled(self, report: _Report, verdict: Worked | None) -> None:
        delivery = report.delivery
        refused = verdict is not None and verdict.code is not None
        self._turns.forget(delivery.queue, delivery.event.subject, refused=refused)
        if verdict is None:
            return
        facts = (delivery.event.id, delivery.queue, delivery.attempt, verdict.outcome)
        if verdict.code in {"RV001", "RV006"} and report.result["outcome"] == "completed":
            # The handler emitted what the database cannot take: that is a failure of the handler.
            self.logger.error("event %a in %a, attempt %d: %s: %a", *facts, verdict.detail)
            error = ValueError(verdict.detail)
            self._reports.append(_Report(delivery, delivery.failed(error)))
        elif refused:
            self.logger.warning("event %a in %a, attempt %d: %s: %a", *facts, verdict.detail)
        elif verdict.outcome == "dead":
            self.logger.error("event %a in %a, attempt %d: %s", *facts)
        else:
            self.logger.info("event %a in %a, attempt %d: %s", *facts)

    def _begin(self, claimed: Worked) -> int:
        queue = claimed.queue or ""
        route = self._routes.get(queue) or next(
            (route for route in self._routes.values() if route.matches(queue)), None
        )
        if (
            route is None
            or claimed.lease is None
            or claimed.delivery is None
            or claimed.expire_in is None
        ):
            return 0
        delivery = Delivery(
            lease=claimed.lease,
            number=claimed.delivery,
            queue=queue,
            attempt=claimed.attempt or 1,
            event=ArvoEvent.from_trusted_dict(claimed.event or {}),
            cause=claimed.cause,
            deadline=time.monotonic() + claimed.expire_in.total_seconds(),
            state=(
                StateRecord(claimed.state, version=claimed.state_version or 0)
                if claimed.state is not None
                else None
            ),
        )
        task = asyncio.create_task(self._run(delivery, route))
        self._running[delivery.number] = _Running(delivery, route, task)
        return 1

    async def _run(self, delivery: Delivery, route: Route) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                if route.stateful:
                    await stack.enter_async_context(self._turns.turn(delivery))
                delivery.started = time.monotonic()
                async with asyncio.timeout(max(delivery.remaining(), 0)):
                    result = await route.run(delivery)
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is a failed attempt
            self.logger.warning(
                "event %a in %a, attempt %d failed: %s: %a",
                delivery.event.id,
                delivery.queue,
                delivery.attempt,
                type(error).__name__,
                str(error)[:500],
            )
            result = delivery.failed(error)
        if self._running.pop(delivery.number, None) is not None:
            self._reports.append(_Report(delivery, result))
            self._signal.set()

    def _abandon(self, entry: _Running, result: dict[str, Any] | None) -> None:
        """Cancel a handler; its own result does not count any more."""
        self._running.pop(entry.delivery.number, None)
        entry.task.cancel()
        if result is not None:
            self._reports.append(_Report(entry.delivery, result))
        self._signal.set()

    def _held(self) -> set[int]:
        return {entry.delivery.lease for entry in list(self._running.values())}

    def _lost(self, token: int) -> None:
        for entry in list(self._running.values()):
            if entry.delivery.lease == token:
                self.logger.warning(
                    "event %a in %a: its lease is lost; the handler is cancelled",
                    entry.delivery.event.id,
                    entry.delivery.queue,
                )
                self._abandon(entry, None)

    def _woken(self, queue: str) -> None:
        if not queue or any(route.matches(queue) for route in self._routes.values()):
            self._signal.set()

    def _finished(self) -> bool:
        return self._stopping and not self._running and not self._reports
