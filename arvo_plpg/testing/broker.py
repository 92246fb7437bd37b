"""TestBroker: a broker whose work begins and ends when a test says so."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arvo_plpg.aio import Broker
from arvo_plpg.broker import PostgresEventBroker
from arvo_plpg.event import ArvoEvent
from arvo_plpg.handler import is_batched, is_stateful
from arvo_plpg.options import DispatchOptions, HandlerOptions
from arvo_plpg.testing.event_node import EventNode, grow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from arvo_plpg.handler import AnyHandler, BatchHandler, Handler, StatefulHandler
    from arvo_plpg.options import StartAfter
    from arvo_plpg.rows import DeadLetter, Dispatched, Queue, QueueStats, Step
    from arvo_plpg.runtime.route import Listened, Listener

_NOBODY: Final = ["arvo.nobody.*"]  # asks what is due, and takes nothing
_LOOK_SECONDS: Final = 0.005
_SHOWN: Final = 20
_OPEN: Final = frozenset({"queued", "active", "waiting", "deferred", "paused", "draining"})
_MOST_JUMPS: Final = 1000


class NotIdleError(AssertionError):
    """Work that was due was not done in time; the message tells what waits, and why."""


class TestBroker:
    """A broker for tests: the real engine, with the clock in your hand.

    Handlers run inside of :meth:`run_until_idle` only, so nothing happens behind the back of a
    test. It holds no connection and belongs to no event loop.

    Args:
        dsn: a migrated database, of one who may act as the owner of the installation.
        schema: name of the installation.

    Attributes:
        dsn: the database.
        schema: name of the installation.
        completed: events that went to the sources of :meth:`on_workflow_complete`, in order.
        domained: events that carried a domain, in order, once :meth:`on_domained_event` was called.
    """

    __test__ = False

    def __init__(self, dsn: str, *, schema: str = "arvo") -> None:
        self.dsn = dsn
        self.completed: list[ArvoEvent] = []
        self.domained: list[ArvoEvent] = []
        self.schema = schema
        self._frozen: datetime | None = None
        self._registrations: list[Callable[[PostgresEventBroker], Coroutine[Any, Any, object]]] = []
        self._queues: set[str] = set()
        self._hears_domains = False
        self._seen: dict[tuple[str, str], ArvoEvent] = {}

    # --- what runs

    async def register(self, handler: AnyHandler, options: HandlerOptions | None = None) -> Queue:
        """Let a handler work; see :meth:`~arvo_plpg.PostgresEventBroker.register`."""
        watched = (
            _WatchedBatch(handler, self._see)
            if is_batched(handler)
            else _Watched(handler, self._see)
        )
        queue = await self._register_queue(handler.source, options, stateful=is_stateful(handler))
        self._registrations.append(lambda broker: broker.register(watched, options))
        return queue

    async def on_workflow_complete(
        self,
        *,
        source: str,
        listener: Listener | None = None,
        options: HandlerOptions | None = None,
    ) -> None:
        """Keep every event that is addressed to ``source`` in :attr:`completed`.

        Args:
            source: the name that workflows are started under.
            listener: is called with it as well.
            options: of the queue and its workers.
        """
        listens = self._listening(self.completed, listener)
        await self._register_queue(source, options, stateful=False)
        self._registrations.append(
            lambda broker: broker.on_workflow_complete(
                source=source, listener=listens, options=options
            )
        )

    def on_domained_event(self, listener: Listener | None = None) -> None:
        """Keep events that carry a domain in :attr:`domained`, and emit what a listener answers."""
        listens = self._listening(self.domained, listener)
        self._hears_domains = True

        async def register(broker: PostgresEventBroker) -> None:
            broker.on_domained_event(listens)

        self._registrations.append(register)

    async def dispatch(
        self,
        event: ArvoEvent,
        *,
        start_after: StartAfter | None = None,
        priority: int | None = None,
        options: DispatchOptions | None = None,
    ) -> Dispatched:
        """Accept one event; it is worked on by :meth:`run_until_idle`."""
        (accepted,) = await self.dispatch_many(
            [event], start_after=start_after, priority=priority, options=options
        )
        return accepted

    async def dispatch_many(
        self,
        events: Sequence[ArvoEvent],
        *,
        start_after: StartAfter | None = None,
        priority: int | None = None,
        options: DispatchOptions | None = None,
    ) -> list[Dispatched]:
        """Accept events in order, all or none."""
        broker = PostgresEventBroker(self.dsn, schema=self.schema)
        async with self._connection() as connection:
            accepted = await broker.dispatch_many(
                events,
                connection=connection,
                start_after=start_after,
                priority=priority,
                options=options,
            )
        self._see(*events)
        return accepted

    # --- when it runs

    async def run_until_idle(
        self,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - of the work
        jumping: bool = False,
    ) -> None:
        """Work off everything that is due, and what follows from it.

        What is due later (deferred events, retries after a delay) stays, unless ``jumping``: then
        time jumps to it, and to when a rate limit has room again, until nothing is left.

        Args:
            timeout: seconds of real time that it may take.
            jumping: whether time jumps to what is due later.

        Raises:
            NotIdleError: it took longer; the message tells what still waits, and why.
        """
        deadline = time.monotonic() + timeout
        for _ in range(_MOST_JUMPS):
            wait = await self._run(deadline, timeout, jumping=jumping)
            if not jumping or wait is None:
                return
            self.advance(wait)
        raise NotIdleError(
            f"after {_MOST_JUMPS} jumps something is still due later; is it a cycle?"
        )

    async def _run(self, deadline: float, patience: float, *, jumping: bool) -> timedelta | None:
        place = make_conninfo(self.dsn, options=self._options())
        broker = PostgresEventBroker(place, schema=self.schema, pool_size=2)
        await broker.start()
        try:
            for register in self._registrations:
                await register(broker)
            while True:
                async with broker.connection() as contract:
                    busy, _ = await self._look(contract)
                    if not busy:
                        # What ended during the look may be due again: now nothing runs any more.
                        busy, wait = await self._look(contract)
                    room = await self._until_room(contract, busy=busy) if jumping else None
                    if not busy:
                        return min((one for one in (wait, room) if one is not None), default=None)
                    if room is not None:
                        return room
                    if time.monotonic() > deadline:
                        raise NotIdleError(await self._reasons(contract, patience))
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await broker.stop(timeout=0)

    async def _look(self, contract: Broker) -> tuple[bool, timedelta | None]:
        """Tell whether something is due or runs, and how long until something else is due."""
        (idle,) = await contract.work((), _NOBODY, 1)  # promotes what is due, fires schedules
        if idle.wait is not None and idle.wait <= timedelta(0):
            return True, None
        stats = await contract.queue_stats()
        return any(self._is_busy(queue) for queue in stats), idle.wait

    async def _until_room(self, contract: Broker, *, busy: bool) -> timedelta | None:
        """Tell how long until a rate limit lets the next start; None if something else may run."""
        stats = await contract.queue_stats()
        if any(queue.active_count for queue in stats):
            return None
        held = {queue.name for queue in stats if queue.queued_count or queue.waiting_count}
        held &= self._queues
        moments: list[datetime] = []
        explained: Counter[str] = Counter()
        for step in await self._open_steps(contract) if held else ():
            queue = step.queue or ""
            if queue not in held or step.outcome == "deferred" or explained[queue] >= _SHOWN:
                continue
            explained[queue] += 1
            reasons = await contract.explain_delivery(step.delivery or 0)
            until = [one.until for one in reasons if one.reason == "rate" and one.until]
            if busy and not until:
                return None
            moments += until
        return max(min(moments) - self.now, timedelta(0)) if moments else None

    def _is_busy(self, queue: QueueStats) -> bool:
        if queue.active_count:
            return True
        is_ours = queue.name in self._queues or (
            queue.name.startswith("arvo.domain.") and self._hears_domains
        )
        return bool(is_ours and queue.queued_count and queue.paused_at is None)

    async def _reasons(self, contract: Broker, patience: float) -> str:
        lines = [f"not idle after {patience:g} s, by the broker's clock {self.now.isoformat()}:"]
        lines += [
            f"  {queue.name}: {queue.queued_count} queued, {queue.active_count} active, "
            f"{queue.waiting_count} waiting, {queue.deferred_count} deferred"
            for queue in await contract.queue_stats()
            if self._is_busy(queue)
        ]
        waiting = await self._open_steps(contract)
        for step in waiting[:_SHOWN]:
            lines.append(
                f"  {step.event_type} ({step.event_id}) in {step.queue}, attempt {step.attempt}: "
                f"{step.outcome}"
            )
            reasons = await contract.explain_delivery(step.delivery or 0)
            lines += [f"    {reason.reason}: {reason.detail}" for reason in reasons]
        if len(waiting) > _SHOWN:
            lines.append(f"  … and {len(waiting) - _SHOWN} more")
        return "\n".join(lines)

    async def _open_steps(self, contract: Broker) -> list[Step]:
        return [
            step
            for subject in dict.fromkeys(event.subject for event in self._seen.values())
            for step in await contract.trace(subject)
            if step.outcome in _OPEN and step.delivery is not None
        ]

    # --- time

    @property
    def now(self) -> datetime:
        """The time by which the engine decides: the real one, unless it was frozen."""
        return self._frozen or datetime.now(UTC)

    def freeze(self, moment: datetime | None = None) -> None:
        """Stop the engine's clock, now or at a moment."""
        if moment is not None and moment.tzinfo is None:
            raise ValueError("give a moment with a time zone")
        self._frozen = moment or self.now

    def advance(self, step: timedelta | float) -> None:
        """Let time jump forward, by seconds or a timedelta; the clock stands there."""
        jump = step if isinstance(step, timedelta) else timedelta(seconds=step)
        if jump < timedelta(0):
            raise ValueError("time does not run backwards")
        self._frozen = self.now + jump

    # --- what happened

    async def tree(self, event: ArvoEvent) -> EventNode:
        """Give the tree of events that an event is the root of, with what became of each.

        Raises:
            LookupError: it was not dispatched.
        """
        async with self.contract() as contract:
            steps = await contract.trace(event.subject)
        for root in grow(steps, self._seen):
            for node in root.walk():
                if (node.source, node.id) == (event.source, event.id):
                    return node
        raise LookupError(f"event {event.id!r} is not in the database")

    async def dead_letters(self) -> list[DeadLetter]:
        """Give the dead letters of all queues."""
        async with self.contract() as contract:
            return await contract.dead_letters()

    @asynccontextmanager
    async def contract(self) -> AsyncIterator[Broker]:
        """Lend a connection by the broker's clock, with all that the contract has."""
        async with self._connection() as connection:
            yield Broker(connection, schema=self.schema)

    # --- the rest

    def _options(self) -> str:
        given = str(conninfo_to_dict(self.dsn).get("options") or "")
        if self._frozen is None:
            return given
        return f"{given} -c {self.schema}.frozen_clock={self._frozen.isoformat()}".strip()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        connection = await psycopg.AsyncConnection.connect(
            self.dsn, autocommit=True, options=self._options()
        )
        async with connection:
            yield connection

    async def _register_queue(
        self, queue: str, options: HandlerOptions | None, *, stateful: bool
    ) -> Queue:
        async with self.contract() as contract:
            registered = await contract.register_queue(
                queue, stateful=stateful, **(options or HandlerOptions()).registration()
            )
        self._queues.add(queue)
        return registered

    def _see(self, *events: ArvoEvent) -> None:
        for event in events:
            self._seen.setdefault((event.source, event.id), event)

    def _listening(self, kept: list[ArvoEvent], listener: Listener | None) -> Listener:
        async def listen(event: ArvoEvent) -> Listened:
            self._see(event)
            kept.append(event)
            answer = listener(event) if listener is not None else None
            events = await answer if inspect.isawaitable(answer) else answer
            self._see(*(events or ()))
            return events

        return listen


def _is_event(thing: object) -> bool:
    return isinstance(thing, ArvoEvent)


class _Watched:
    """A handler whose events are seen."""

    def __init__(self, handler: Handler | StatefulHandler, see: Callable[..., None]) -> None:
        self._handler = handler
        self._see = see

    @property
    def source(self) -> str:
        return self._handler.source

    async def execute(self, event: ArvoEvent, **more: Any) -> list[ArvoEvent]:  # noqa: ANN401
        self._see(event)
        events = await self._handler.execute(event, **more)
        if isinstance(events, Iterable):  # else the worker says what is wrong
            self._see(*filter(_is_event, events))
        return events

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the handler has
        return getattr(self._handler, name)


class _WatchedBatch:
    """A handler of batches whose events are seen."""

    def __init__(self, handler: BatchHandler, see: Callable[..., None]) -> None:
        self._handler = handler
        self._see = see

    @property
    def source(self) -> str:
        return self._handler.source

    async def execute_many(
        self, events: Sequence[ArvoEvent]
    ) -> Sequence[Sequence[ArvoEvent] | Exception]:
        self._see(*events)
        outcomes = await self._handler.execute_many(events)
        for outcome in outcomes:
            if not isinstance(outcome, Exception):
                self._see(*filter(_is_event, outcome))
        return outcomes

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the handler has
        return getattr(self._handler, name)
