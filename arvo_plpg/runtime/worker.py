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
from arvo_plpg._async.memory import Memory
from arvo_plpg.errors import AlreadyRegistered, ArvoError, DeadlineExceeded
from arvo_plpg.event import ArvoEvent
from arvo_plpg.machine_memory import StateRecord
from arvo_plpg.options import HandlerOptions
from arvo_plpg.runtime.backoff import Backoff
from arvo_plpg.runtime.connect import connection_parameters, is_lost
from arvo_plpg.runtime.delivery import Delivery
from arvo_plpg.runtime.ending import end
from arvo_plpg.runtime.gate import Gate
from arvo_plpg.runtime.heartbeat import Heartbeat
from arvo_plpg.runtime.line import Line
from arvo_plpg.runtime.route import Route
from arvo_plpg.runtime.turns import StaleClaim, Turns

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from arvo_plpg.rows import Worked

_MOST_AT_ONCE = 1000
_POSTPONE_SECONDS = 2.0
_LONGEST_POSTPONE_SECONDS = 30.0
_SETTLE_SECONDS = 10.0
_CANCEL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Report:
    """A result, and the delivery that it is about."""

    delivery: Delivery
    route: Route
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Postponed:
    """A result that waits for a lock which somebody else holds for long."""

    report: _Report
    due: float
    wait: float


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
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._lease = lease
        self.logger = logger or logging.getLogger("arvo_plpg")
        self._routes: dict[str, Route] = {}
        self._unregistered: list[Route] = []
        self._narrowed: set[str] = set()
        self._lines: set[Line] = set()
        self._reports: list[_Report] = []
        self._sent: list[_Report] = []
        self._postponed: list[_Postponed] = []
        self._turns = Turns()
        self._signal = asyncio.Event()
        self._gate = Gate(dsn, schema, self._woken, self._warn)
        self._stopping = False
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def routes(self) -> list[str]:
        """Names of the queues that it works on."""
        return list(self._routes)

    def add(self, route: Route, *, registered: bool = False) -> None:
        """Work on one more queue.

        Args:
            route: the queue and who runs its deliveries.
            registered: whether the queue is registered already; if not, and if the route names
                one queue, that is done before it is claimed from.

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
        if route.concrete and not registered:
            self._unregistered.append(route)
        self._signal.set()

    async def start(self) -> None:
        """Begin to work."""
        self._stopping = False
        self._signal = asyncio.Event()
        self._turns = Turns()
        self._loop_task = asyncio.create_task(self._work(), name="arvo-worker")

    async def stop(self, grace: float = 30.0) -> None:
        """Claim nothing more, let what runs finish, settle it, and end.

        What still runs after ``grace`` seconds is cancelled and released: it goes back to its queue
        and its attempt is not charged. If the database does not answer, what could not be settled
        within further ten seconds is left to the expiry of its lease. Can be started again.
        """
        loop_task = self._loop_task
        if loop_task is None:
            return
        self._stopping = True
        self._signal.set()
        try:
            await self._drain(grace)
            await asyncio.wait([loop_task], timeout=_SETTLE_SECONDS)
        finally:
            self._loop_task = None
            await end(loop_task)
            for line in list(self._lines):
                self._abandon(line, None)
            if unsettled := len(self._reports) + len(self._sent) + len(self._postponed):
                self.logger.error(
                    "stopped without settling %d results; their leases will lapse", unsettled
                )
            self._reports, self._sent, self._postponed = [], [], []

    async def _drain(self, grace: float) -> None:
        deadline = time.monotonic() + grace
        while self._lines and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait([line.task for line in self._lines if line.task], timeout=left)
        late = list(self._lines)
        for line in late:
            self._abandon(line, line.running.released())
        if late:
            await asyncio.wait([line.task for line in late if line.task], timeout=_CANCEL_SECONDS)
        self._signal.set()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        wakeup = asyncio.create_task(self._gate.run())

        def lost(token: int, held: Collection[int]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(partial(self._lost, token, held))

        heartbeat = Heartbeat(
            self._dsn,
            self._schema,
            self._lease,
            leases=self._held,
            lost=lost,
            warn=self._warn,
        )
        heartbeat.start()
        backoff = Backoff()
        try:
            while not self._finished():
                try:
                    async with await self._connect() as connection:
                        await self._serve(connection, backoff)
                except Exception as error:  # noqa: BLE001 - nothing may end the loop but stop()
                    self._report_trouble(error)
                    await asyncio.sleep(min(backoff.next(), 0.5 if self._stopping else 60))
        finally:
            await end(wakeup)
            await asyncio.to_thread(heartbeat.stop)

    def _report_trouble(self, error: Exception) -> None:
        if is_lost(error):
            kept = len(self._reports) + len(self._sent) + len(self._postponed)
            self.logger.warning("connection lost (%s); %d results are kept", _kind(error), kept)
        else:
            self.logger.error("a call of the database failed", exc_info=error)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            **connection_parameters(self._dsn, f"{self._schema}-worker"),
        )

    async def _serve(self, connection: psycopg.AsyncConnection[Any], backoff: Backoff) -> None:
        broker = Broker(connection, schema=self._schema)
        # Whether these were committed is not known. Sent again, one that was is "already".
        self._reports = self._sent + self._reports
        self._sent = []
        while not self._finished():
            await self._register(broker)
            await self._clean_up(connection, await self._settle_postponed(broker))
            self._signal.clear()
            queues, limits = self._wanted()
            if not self._reports and not queues:
                await self._rest(None)
                continue
            self._sent, self._reports = self._reports[:_MOST_AT_ONCE], self._reports[_MOST_AT_ONCE:]
            emits = any("events" in report.result for report in self._sent)
            hopping = emits and not self._lines
            try:
                answers = await self._exchange(broker, queues, limits, hopping=hopping)
            except (ArvoError, psycopg.Error) as error:
                if is_lost(error) or not self._sent:
                    raise
                answers = await self._one_by_one(broker, _POSTPONE_SECONDS)
            backoff.reset()
            reports, self._sent = self._sent, []
            over = self._judge(reports, answers)
            claimed, wait = self._take(answers)
            await self._clean_up(connection, over)
            if claimed:
                self._gate.end()
            elif not ((emits and not hopping) or self._reports):
                self._gate.begin(queues)
                await self._rest(wait)

    async def _exchange(
        self, broker: Broker, queues: list[str], limits: list[int], *, hopping: bool
    ) -> list[Worked]:
        """Settle what is to be settled, and claim.

        With nothing to settle nobody waits for the disk. When something was emitted and nothing
        else runs, that is probably what is next, and the call that settles cannot claim it.
        """
        results = [report.result for report in self._sent]
        wanted = (queues, min(sum(limits), _MOST_AT_ONCE), self.name)
        lease = timedelta(seconds=self._lease)
        if not queues:
            return await broker.work(results)
        if results and not hopping:
            return await broker.work(results, *wanted, limits=limits, lease=lease)
        settled = await broker.work(results) if results else []
        return settled + await broker.look(*wanted, limits=limits, lease=lease)

    async def _clean_up(
        self, connection: psycopg.AsyncConnection[Any], subjects: Sequence[str]
    ) -> None:
        for subject in subjects:
            await Memory(connection, schema=self._schema).cleanup_state(subject)

    async def _settle_postponed(self, broker: Broker) -> list[str]:
        """Try again what waited for a lock; one at a time, so that the others are not held up."""
        now = time.monotonic()
        first = next((item for item in self._postponed if item.due <= now), None)
        if first is None:
            return []
        self._postponed.remove(first)
        self._sent = [first.report]
        answers = await self._one_by_one(broker, first.wait)
        reports, self._sent = self._sent, []
        return self._judge(reports, answers)

    async def _one_by_one(self, broker: Broker, wait: float) -> list[Worked]:
        """Settle each result by itself: the call with all of them was refused as a whole.

        A result that needs a lock which somebody holds for long is put off for ``wait`` seconds,
        and twice as long the next time.
        """
        answers: list[Worked] = []
        for report in list(self._sent):
            try:
                answers += await broker.work([report.result])
            except (ArvoError, psycopg.Error) as error:
                if is_lost(error):
                    raise
                self._sent.remove(report)
                if isinstance(error, psycopg.errors.LockNotAvailable):
                    self.logger.warning(
                        "event %a in %a: somebody holds a lock that its settlement needs; "
                        "trying again in %.0f s",
                        report.delivery.event.id,
                        report.delivery.queue,
                        wait,
                    )
                    longer = min(wait * 2, _LONGEST_POSTPONE_SECONDS)
                    self._postponed.append(_Postponed(report, time.monotonic() + wait, longer))
                    continue
                self.logger.error(  # noqa: TRY400 - what the database says is enough
                    "event %a in %a, attempt %d: its result cannot be settled: %a",
                    report.delivery.event.id,
                    report.delivery.queue,
                    report.delivery.attempt,
                    str(error)[:500],
                )
                self._turns.give(report.delivery)
                if report.result["outcome"] == "completed":
                    result = report.delivery.failed(error)
                    self._reports.append(_Report(report.delivery, report.route, result))
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
            else:
                if queue.change != "unchanged":
                    self.logger.info("queue %a: %s", queue.queue, queue.change)
            self._unregistered.pop(0)

    def _wanted(self) -> tuple[list[str], list[int]]:
        """Name the queues with free slots, and how many each has."""
        if self._stopping:
            return [], []
        busy: dict[str, int] = {}
        for line in self._lines:
            busy[line.route.queue] = busy.get(line.route.queue, 0) + 1
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
            longest = min(longest, max(wait.total_seconds(), 0.005))
        for item in self._postponed:
            longest = min(longest, max(item.due - time.monotonic(), 0.005))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._signal.wait()

    def _judge(self, reports: Sequence[_Report], answers: Sequence[Worked]) -> list[str]:
        """Take note of what became of the results; name the workflows whose state may go."""
        verdicts = {
            (answer.lease, answer.delivery): answer
            for answer in answers
            if answer.kind == "settled"
        }
        over = []
        for report in reports:
            verdict = verdicts.get((report.delivery.lease, report.delivery.number))
            self._settled(report, verdict)
            if verdict is None and report.delivery.finished and report.route.options.enable_cleanup:
                over.append(report.delivery.event.subject)
        return over

    def _take(self, answers: Sequence[Worked]) -> tuple[int, timedelta | None]:
        """Begin what was claimed; say how much, and how long to wait if it was nothing."""
        claimed = 0
        wait = None
        runs: dict[tuple[int | None, int], Line] = {}
        for answer in answers:
            if answer.kind == "claimed":
                self._line_up(answer, runs)
                claimed += 1
            elif answer.kind == "idle":
                wait = answer.wait
        return claimed, wait

    def _settled(self, report: _Report, verdict: Worked | None) -> None:
        delivery, route = report.delivery, report.route
        if verdict is None:
            completed = report.result["outcome"] == "completed"
            forget = delivery.finished and route.options.enable_cleanup
            self._turns.give(delivery, delivery.written if completed else None, moved_on=forget)
            outcome, code, detail = "completed", None, None
        else:
            moved_on = verdict.outcome in {"conflict", "already"} or verdict.code == "RV301"
            self._turns.give(delivery, moved_on=moved_on)
            outcome, code, detail = verdict.outcome or "", verdict.code, verdict.detail
        facts = (delivery.event.id, delivery.queue, delivery.attempt, outcome)
        if code in {"RV001", "RV006"} and report.result["outcome"] == "completed":
            # The handler emitted what the database cannot take: that is a failure of the handler.
            self.logger.error("event %a in %a, attempt %d: %s: %a", *facts, detail)
            error = ValueError(detail)
            self._reports.append(_Report(delivery, route, delivery.failed(error)))
        elif code == "RV303":
            # What comes before it waits for a lock: this one is to follow it.
            due = time.monotonic() + _POSTPONE_SECONDS
            self._postponed.append(_Postponed(report, due, _POSTPONE_SECONDS))
        elif code is not None:
            self.logger.warning("event %a in %a, attempt %d: %s: %a", *facts, detail)
        elif outcome == "dead":
            self.logger.error("event %a in %a, attempt %d: %s", *facts)
        else:
            self.logger.info("event %a in %a, attempt %d: %s", *facts)

    def _line_up(self, claimed: Worked, runs: dict[tuple[int | None, int], Line]) -> None:
        """Run a claimed delivery, after those of its key that came before it in this answer."""
        lease, number, queue = claimed.lease, claimed.delivery, claimed.queue
        if lease is None or number is None or queue is None:
            raise TypeError("a claimed row lacks lease, delivery or queue")
        route = self._routes.get(queue) or next(
            (route for route in self._routes.values() if route.matches(queue)), None
        )
        flat = claimed.event or {}
        delivery = Delivery(
            lease=lease,
            number=number,
            queue=queue,
            attempt=claimed.attempt or 1,
            event=_labelled(flat),
            cause=claimed.cause,
            expire_in=claimed.expire_in.total_seconds() if claimed.expire_in else 900.0,
            state=(
                StateRecord(claimed.state, version=claimed.state_version or 0)
                if claimed.state is not None
                else None
            ),
        )
        if route is None or self._stopping:
            nobody = Route(queue, _run_nothing, HandlerOptions())
            self._reports.append(_Report(delivery, route or nobody, delivery.released()))
            return
        if queue not in self._narrowed and (narrowed := route.narrowed(queue)) is not None:
            self._narrowed.add(queue)
            self._unregistered.append(narrowed)
        line = runs.get((claimed.key, lease)) if claimed.key is not None else None
        if line is None:
            line = Line(route, claimed.key)
            if claimed.key is not None:
                runs[claimed.key, lease] = line
            self._lines.add(line)
            line.task = asyncio.create_task(self._work_through(line))
        line.deliveries.append((delivery, flat))

    async def _work_through(self, line: Line) -> None:
        more = True
        while more:
            delivery, flat = line.deliveries[0]
            result = await self._run(line, delivery, flat)
            if line not in self._lines:
                return
            more = line.pass_on(completed=result["outcome"] == "completed")
            if not more:
                self._lines.remove(line)
            self._reports.append(_Report(delivery, line.route, result))
            self._signal.set()

    async def _run(self, line: Line, delivery: Delivery, flat: dict[str, Any]) -> dict[str, Any]:
        try:
            delivery.event = ArvoEvent.from_trusted_dict(flat)
            if line.route.stateful and line.key is None:
                await self._turns.take(delivery)
            delivery.begin()
            return await _in_time(line.route, delivery)
        except StaleClaim:
            return delivery.released()
        except asyncio.CancelledError as error:
            # Cancelled from here or with the whole loop; or else the handler raised it itself.
            task = asyncio.current_task()
            if line not in self._lines or (task and task.cancelling()):
                raise
            return self._failed(delivery, error)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is a failed attempt
            return self._failed(delivery, error)

    def _failed(self, delivery: Delivery, error: BaseException) -> dict[str, Any]:
        self.logger.warning(
            "event %a in %a, attempt %d failed: %s: %a",
            delivery.event.id,
            delivery.queue,
            delivery.attempt,
            type(error).__name__,
            str(error)[:500],
        )
        return delivery.failed(error)

    def _abandon(self, line: Line, result: dict[str, Any] | None) -> None:
        """Cancel a handler; its own result does not count any more.

        A result for it, if there is one, has the database take back the rest of its line, too.
        """
        if line not in self._lines:
            return
        self._lines.remove(line)
        if line.task is not None:
            line.task.cancel()
        if result is not None:
            self._reports.append(_Report(line.running, line.route, result))
        else:
            self._turns.give(line.running, moved_on=True)
        self._signal.set()

    def _held(self) -> set[int]:
        """Name the leases to keep. Called by the heartbeat's thread."""
        running = [line.lease for line in self._lines.copy()]
        postponed = [item.report for item in list(self._postponed)]
        unsettled = self._sent + self._reports + postponed
        return {*running, *(report.delivery.lease for report in unsettled)}

    def _lost(self, token: int, held: Collection[int]) -> None:
        """Cancel what runs under a lease without being held any more."""
        for line in list(self._lines):
            if line.lease == token and line.running.number not in held:
                self.logger.warning(
                    "event %a in %a: its lease is lost; the handler is cancelled",
                    line.running.event.id,
                    line.running.queue,
                )
                self._abandon(line, None)

    def _woken(self, queue: str) -> None:
        if not queue or any(route.matches(queue) for route in self._routes.values()):
            self._signal.set()

    def _warn(self, message: str, *facts: object) -> None:
        self.logger.warning(message, *facts)

    def _finished(self) -> bool:
        unsettled = self._reports or self._sent or self._postponed
        return self._stopping and not self._lines and not unsettled


async def _in_time(route: Route, delivery: Delivery) -> dict[str, Any]:
    try:
        async with asyncio.timeout(delivery.expire_in) as deadline:
            return await route.run(delivery)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise DeadlineExceeded(
            "the handler ran too long and was cancelled",
            detail=f"it may run {delivery.expire_in:g} seconds in queue {delivery.queue!a}",
            hint="Raise expire_in_seconds, or do less in one step.",
            field="expire_in_seconds",
        ) from error


async def _run_nothing(delivery: Delivery) -> dict[str, Any]:
    return delivery.released()


def _labelled(flat: dict[str, Any]) -> ArvoEvent:
    """Give enough of an event to report about it, whatever is wrong with it."""
    return ArvoEvent.from_trusted_dict(
        {key: str(flat.get(key, "")) for key in ("id", "source", "type", "subject", "time")}
        | {"data": {}}
    )


def _kind(error: BaseException) -> str:
    return type(error).__name__
