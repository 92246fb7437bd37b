"""PostgresEventBroker: the object that users of the seed know, on top of the contract."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import random
import socket
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Self

import psycopg

from arvo_plpg._async.broker import Broker
from arvo_plpg._async.memory import Memory
from arvo_plpg.errors import (
    ArvoError,
    BrokerNotStarted,
    InvalidArgument,
    InvalidOption,
    SourceMismatch,
    WorkflowCompletionNotConfigured,
)
from arvo_plpg.event import ArvoEvent, check_events
from arvo_plpg.options import DispatchOptions, HandlerOptions, StartAfter
from arvo_plpg.runtime.connect import Pool, lend, open_pool, shake_hands
from arvo_plpg.runtime.ending import end
from arvo_plpg.runtime.grace import Grace
from arvo_plpg.runtime.route import DOMAINS, UNROUTABLE, handler_route, listener_route
from arvo_plpg.runtime.signals import Signals
from arvo_plpg.runtime.worker import Worker
from arvo_plpg.stream import AsyncStream
from arvo_plpg.telemetry.dispatching import watched
from arvo_plpg.telemetry.observer import dispatched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from arvo_plpg.handler import AnyHandler
    from arvo_plpg.rows import Copied, Dispatched, Queue, QueueStats
    from arvo_plpg.runtime.route import Listener, Route
    from arvo_plpg.stream import AsyncEvents

_PRESENCE_SECONDS = 10.0
_BEATS_TO_MAINTAIN = 3
_CHECK_OUT_SECONDS = 2.0
_HOUSE_SECONDS = 0.3
_SHORTEST_LEASE = 1.0
_LONGEST_LEASE = 300.0  # what claim and extend allow


class PostgresEventBroker:
    """Routes events between handlers, through PostgreSQL.

    Handlers may live in any process that is connected to the same installation: the routing table
    is in the database. Events for a queue that nobody has registered wait in it.

    Args:
        dsn: connection string of the database.
        schema: name of the installation.
        name: what this process signs its leases with; host and process id by default.
        lease_seconds: how long a silent process keeps its deliveries before they go elsewhere;
            1 to 300.
        pool_size: most connections for dispatching and asking; working takes three more.
        strict: whether ``dispatch`` insists, as the seed did, that a completion listener is
            configured in this process, that the event's source is one of those listened to, and
            that its destination has been registered.
        listen_dsn: a connection string that leads to the database without a transaction pooler,
            when ``dsn`` leads through one: for the one connection that listens.
        prepare_threshold: after how many calls a statement is prepared; None: never, for poolers
            that do not know prepared statements.

    Example::

        async with PostgresEventBroker("postgresql://localhost/app") as broker:
            await broker.register(handler)
            await broker.dispatch(event)
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "arvo",
        name: str | None = None,
        lease_seconds: float = 8.0,
        pool_size: int = 4,
        strict: bool = False,
        listen_dsn: str | None = None,
        prepare_threshold: int | None = 5,
    ) -> None:
        if not _SHORTEST_LEASE <= lease_seconds <= _LONGEST_LEASE:
            raise InvalidOption(
                "option is not valid",
                detail=f"lease_seconds is {lease_seconds}",
                hint="Use 1 to 300 seconds.",
                field="lease_seconds",
            )
        if pool_size < 1:
            raise InvalidOption(
                "option is not valid",
                detail=f"pool_size is {pool_size}",
                hint="Use 1 or more.",
                field="pool_size",
            )
        if prepare_threshold is not None and prepare_threshold < 0:
            raise InvalidOption(
                "option is not valid",
                detail=f"prepare_threshold is {prepare_threshold}",
                hint="Use None, 0 or more.",
                field="prepare_threshold",
            )
        self._dsn = dsn
        self._prepare_threshold = prepare_threshold
        self._schema = schema
        self._pool_size = pool_size
        self._pool: Pool | None = None
        self._worker = Worker(
            dsn,
            schema=schema,
            name=name,
            lease=lease_seconds,
            listen_dsn=listen_dsn,
            prepare_threshold=prepare_threshold,
        )
        self._maintenance: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._starting = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None
        self._grace = Grace(0)
        self._strict = strict
        self._completions: set[str] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect, check that database and package fit, and begin to work.

        Raises:
            DatabaseUnreachable: the database does not answer.
            SchemaMissing: nothing is installed there under this name.
            SchemaTooOld: what is installed is older than this package needs.
            ClientTooOld: this package is older than what is installed allows.
        """
        async with self._starting:
            while self._ending is not None:
                await asyncio.wait([self._ending])
            if self._pool is not None:
                return
            await shake_hands(self._dsn, self._schema)
            self._pool = await open_pool(
                self._dsn,
                self._schema,
                self._pool_size,
                options={"prepare_threshold": self._prepare_threshold},
            )
            await self._worker.start()
            self._leaving.clear()
            self._maintenance = asyncio.create_task(self._keep_house(), name="arvo-maintenance")

    async def stop(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - the seed's name
        """Stop claiming, let running handlers finish, settle, and disconnect.

        May be called again while it runs: an earlier end counts for all who wait, and with
        ``timeout=0`` what still runs is given back at once. Who is cancelled while it waits here
        has it end at once as well. Afterwards the broker can be started again.

        Args:
            timeout: seconds after which what still runs is cancelled and goes back to its queue,
                its attempt not charged.
        """
        if self._ending is not None:
            self._grace.shorten(timeout)
        elif self._pool is not None:
            self._grace = Grace(timeout)
            self._ending = asyncio.create_task(self._end(self._pool), name="arvo-stop")
        else:
            return
        ending = self._ending
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            self._grace.shorten(0)
            await asyncio.wait([ending])
            raise

    async def run_until_signal(self, *, grace: float = 30.0) -> None:
        """Work until the process is told to end, by SIGTERM or SIGINT, and stop then.

        The first signal stops claiming and lets running handlers finish; a second one does not wait
        for them, and what still runs goes back to its queue, its attempt not charged. Returns when
        the broker has stopped, also when something else has called :meth:`stop`. Handlers of these
        signals that were there before are put back::

            async with PostgresEventBroker("postgresql://localhost/app") as broker:
                await broker.register(handler)
                await broker.run_until_signal()

        Args:
            grace: seconds after the first signal until what still runs is given back.

        Raises:
            BrokerNotStarted: there is nothing to wait for.
            ArvoError: this is not the main thread, which alone can receive signals.
        """
        if self._pool is None:
            raise _not_started()
        with Signals() as signals:
            await signals.wait_or(self._leaving)
            # Whoever else has called stop() has said how long it may take.
            within = grace if signals.count else inf
            await signals.stop(self.stop, within, self._worker.logger)

    async def _end(self, pool: Pool) -> None:
        try:
            self._leaving.set()
            if self._maintenance is not None:
                # A request to end it gets lost in the pool if it is just given a connection.
                await asyncio.wait([self._maintenance], timeout=_HOUSE_SECONDS)
                await end(self._maintenance)
            await self._worker.stop(self._grace)
            await self._check_out()
        finally:
            self._pool = None
            try:
                await pool.close()
            finally:
                self._ending = None

    @property
    def queues(self) -> list[str]:
        """Names of the queues registered in this process."""
        return [queue for queue in self._worker.routes if not queue.endswith("*")]

    def set_logger(self, logger: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        """Report to this logger instead of ``arvo_plpg``.

        Records that tell of a delivery carry ``event_id``, ``subject``, ``queue``, ``attempt`` and
        what became of it as fields of their own (``extra``).

        Raises:
            InvalidArgument: it is no logger of the standard library, nor an adapter of one.
        """
        if not isinstance(logger, logging.Logger | logging.LoggerAdapter):
            raise InvalidArgument(
                "argument is not valid",
                detail=f"logger is of type {type(logger).__name__}",
                hint="Give a logging.Logger or a logging.LoggerAdapter.",
                field="logger",
            )
        self._worker.logger = logger

    async def register(self, handler: AnyHandler, options: HandlerOptions | None = None) -> Queue:
        """Let a handler work on the queue that is named by its source.

        Options that are given are stored with the queue, for all processes. One that is left out
        stays as an earlier registration has set it: name it in ``reset`` to have its default back.

        Returns:
            The queue with all its options; ``change`` names those that this call has changed.

        Raises:
            AlreadyRegistered: this process has a handler or listener of that source.
            InvalidOption: the database refuses an option.
        """
        return await self._register(handler_route(handler, _checked_options(options)))

    async def on_workflow_complete(
        self, *, source: str, listener: Listener, options: HandlerOptions | None = None
    ) -> None:
        """Call a listener with every event that is addressed to ``source``.

        At least once, with retries and a dead letter like any handler. There may be several
        sources, in any number of processes.

        Args:
            source: the name that workflows were started under.
            listener: plain or asynchronous function of one event.
            options: of the queue and its workers.
        """
        await self._register(listener_route(source, listener, _checked_options(options)))
        self._completions.add(source)

    def on_domained_event(self, listener: Listener, options: HandlerOptions | None = None) -> None:
        """Call a listener with events that carry a domain, from every domain's queue.

        They are stored until somebody listens, and retried like any delivery. What the listener
        returns is emitted when the delivery is settled, in the same transaction.
        """
        self._worker.add(listener_route(DOMAINS, listener, _checked_options(options)))

    def on_handler_not_found(
        self, listener: Listener, options: HandlerOptions | None = None
    ) -> None:
        """Call a listener with events whose destination nobody has registered.

        The event itself waits in the queue of its destination, and is delivered when a handler is
        registered there; this is only the notice.
        """
        self._worker.add(listener_route(UNROUTABLE, listener, _checked_options(options)))

    async def dispatch(
        self,
        event: ArvoEvent,
        *,
        connection: psycopg.AsyncConnection[Any] | None = None,
        start_after: StartAfter | None = None,
        priority: int | None = None,
        options: DispatchOptions | None = None,
    ) -> Dispatched:
        """Accept one event.

        The same source and id again, to the same queue and within its window, is answered with the
        first delivery: outcome ``duplicate``.

        Args:
            event: the event.
            connection: a connection of yours: the event exists if and when its transaction commits.
            start_after: not to be delivered before: seconds, a timedelta, an aware datetime, or a
                text with an ISO 8601 time or an interval.
            priority: higher is delivered first; the queue's own by default.
            options: further options of this delivery.

        Raises:
            InvalidEventError: the database refuses the event; nothing has been stored.
            InvalidOption: an option is not valid.
            HandlerNotRegistered: nobody has registered its queue, and an option asks for it, or
                this broker is strict.
            WorkflowCompletionNotConfigured: this broker is strict, and nobody listens to results.
            SourceMismatch: this broker is strict, and the event has another source.
        """
        check_events([event])
        self._check_sources([event])
        given = self._options(options, start_after, priority)
        async with self._connection(connection) as used:
            contract = Broker(used, schema=self._schema)

            async def one(events: Sequence[ArvoEvent]) -> list[Dispatched]:
                return [await contract.dispatch(events[0], options=given)]

            (answer,) = await watched([event], one)
            return answer

    async def dispatch_many(
        self,
        events: Sequence[ArvoEvent],
        *,
        connection: psycopg.AsyncConnection[Any] | None = None,
        start_after: StartAfter | None = None,
        priority: int | None = None,
        options: DispatchOptions | None = None,
    ) -> list[Dispatched]:
        """Accept events in order, all or none; otherwise as :meth:`dispatch`."""
        check_events(events)
        self._check_sources(events)
        given = self._options(options, start_after, priority)
        async with self._connection(connection) as used:
            contract = Broker(used, schema=self._schema)
            return await watched(events, partial(contract.dispatch_many, options=given))

    async def dispatch_copy(
        self,
        events: AsyncEvents,
        *,
        connection: psycopg.AsyncConnection[Any] | None = None,
        start_after: StartAfter | None = None,
        priority: int | None = None,
        options: DispatchOptions | None = None,
    ) -> list[Copied]:
        """Accept any number of events, in order, in batches of up to 1,000; the fastest way in.

        The events may come out of an iterable or an asynchronous one, and are not kept. The answer
        says how many events had which outcome, and which ones were not taken as they came:
        duplicates, say, by their places in the stream. Other arguments are those of
        :meth:`dispatch`.

        Each batch is stored, all or none, before the one behind the next is read, so this is no
        transaction of its own: give a ``connection`` in one when all of it must be stored or
        nothing. A stream that broke off can be given again from the beginning, or from where
        ``stored`` says: what is stored already is answered as a duplicate.

        Raises:
            CopyInterrupted: something went wrong, also in the iterable; ``stored`` says how many
                events are stored, its cause what it was. With a connection of yours that is in a
                transaction the cause itself is raised.
        """
        given = self._options(options, start_after, priority)
        async with self._connection(connection) as used:
            contract = Broker(used, schema=self._schema)
            began = time.time_ns()
            copied = await contract.dispatch_copy(self._checked(events), options=given)
            told = Counter({("", answer.outcome): answer.events for answer in copied})
            dispatched(told, began)
            return copied

    async def _checked(self, events: AsyncEvents) -> AsyncIterator[ArvoEvent]:
        async for event in AsyncStream(events):
            check_events([event])
            self._check_sources([event])
            yield event

    async def get_stats(self) -> list[QueueStats]:
        """Live numbers of the queues registered in this process."""
        mine = set(self.queues)
        async with self._connection() as connection:
            every = await Broker(connection, schema=self._schema).queue_stats()
        return [stats for stats in every if stats.name in mine]

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Broker]:
        """Lend a connection of the pool, as the contract's :class:`Broker`.

        Everything that the contract has is there::

            async with broker.connection() as contract:
                for step in await contract.trace(event.subject):
                    print(step.event_type, step.outcome, step.error)
                await contract.redrive("com.example.dead")
        """
        async with self._connection() as connection:
            yield Broker(connection, schema=self._schema)

    @contextlib.asynccontextmanager
    async def _connection(
        self, given: psycopg.AsyncConnection[Any] | None = None
    ) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        if given is not None:
            yield given
            return
        if self._pool is None:
            raise _not_started()
        async with lend(self._pool) as connection:
            yield connection

    def _options(
        self, options: DispatchOptions | None, start_after: StartAfter | None, priority: int | None
    ) -> dict[str, Any] | None:
        if options is not None and not isinstance(options, DispatchOptions):
            raise InvalidOption(
                "option is not valid",
                detail=f"options is of type {type(options).__name__}",
                hint="Give DispatchOptions(…).",
                field="options",
            )
        if options is None and start_after is None and priority is None and not self._strict:
            return None
        named = DispatchOptions(start_after=start_after, priority=priority).to_dict() or {}
        strict = {"must_be_registered": True} if self._strict else {}
        return strict | (options.to_dict() or {} if options is not None else {}) | named

    def _check_sources(self, events: Sequence[ArvoEvent]) -> None:
        if not self._strict:
            return
        if not self._completions:
            raise WorkflowCompletionNotConfigured(
                "Workflow completion handler not configured",
                hint="Call on_workflow_complete() first, or make the broker without strict=True.",
            )
        for event in events:
            if event.source not in self._completions:
                raise SourceMismatch(
                    "Event source mismatch",
                    detail=f"source {event.source!a:.80}; results go to "
                    f"{', '.join(sorted(self._completions))!a:.200}",
                    hint="Dispatch with the source that on_workflow_complete() listens to.",
                    field="source",
                )

    async def _register(self, route: Route) -> Queue:
        if route.queue in self._worker.routes:
            self._worker.add(route)  # which refuses it
        async with self._connection() as connection:
            queue = await Broker(connection, schema=self._schema).register_queue(
                route.queue,
                stateful=route.stateful,
                worker=self._worker.name,
                **route.options.registration(),
            )
            age = route.options.state_retention()
            if age is not None:
                memory = Memory(connection, schema=self._schema)
                await memory.retain_states(route.queue, age)
        if queue.change != "unchanged":
            self._worker.logger.info("queue %a: %s", queue.queue, queue.change)
        self._worker.add(route, queue)
        return queue

    async def _keep_house(self) -> None:
        """Say that this process is there, and do what no claim does on its own, in a rhythm."""
        for beat in itertools.count():
            try:
                async with self._connection() as connection:
                    contract = Broker(connection, schema=self._schema)
                    await contract.check_in(
                        self._worker.name,
                        sorted(self._worker.routes)[:1000],
                        rhythm=timedelta(seconds=_PRESENCE_SECONDS),
                        details={"host": socket.gethostname(), "pid": os.getpid()},
                    )
                    if beat % _BEATS_TO_MAINTAIN == 1:
                        await contract.maintain()
            except (psycopg.Error, ArvoError, OSError) as error:
                self._worker.logger.warning("maintenance failed: %s", type(error).__name__)
            if self._leaving.is_set():
                return
            with contextlib.suppress(TimeoutError):
                pause = _PRESENCE_SECONDS * random.uniform(0.6, 1.0)  # noqa: S311 - jitter
                await asyncio.wait_for(self._leaving.wait(), pause)
                return

    async def _check_out(self) -> None:
        try:
            async with asyncio.timeout(_CHECK_OUT_SECONDS), self._connection() as connection:
                await Broker(connection, schema=self._schema).check_out(self._worker.name)
        except (psycopg.Error, ArvoError, OSError) as error:
            self._worker.logger.info("not checked out: %s", type(error).__name__)


def _not_started() -> BrokerNotStarted:
    return BrokerNotStarted(
        "the broker is not started", hint="Call start(), or use it with 'async with'."
    )


def _checked_options(options: HandlerOptions | None) -> HandlerOptions:
    if options is None:
        return HandlerOptions()
    if not isinstance(options, HandlerOptions):
        raise InvalidOption(
            "option is not valid",
            detail=f"options is of type {type(options).__name__}",
            hint="Give HandlerOptions(queue=QueueOptions(…), worker=WorkerOptions(…)).",
            field="options",
        )
    return options
