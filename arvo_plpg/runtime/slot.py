"""Slot: a task that runs the deliveries of a station one after the other."""

from __future__ import annotations

import asyncio
import time
from contextvars import copy_context
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from arvo_plpg.error_record import ErrorRecord
from arvo_plpg.errors import DeadlineExceeded
from arvo_plpg.plain import plain
from arvo_plpg.runtime.log_fields import LONGEST, log_fields
from arvo_plpg.runtime.step import carry_on
from arvo_plpg.runtime.turns import StaleClaim
from arvo_plpg.telemetry.spans import process_span

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import TypeVar

    from arvo_plpg.runtime.delivery import Delivery
    from arvo_plpg.runtime.desk import Desk
    from arvo_plpg.runtime.route import Outcome, Result, Run
    from arvo_plpg.runtime.station import Station

    Answer = TypeVar("Answer")

_MEANS_MORE = (SystemExit, KeyboardInterrupt, GeneratorExit)
"""What is a failure of the handler that raises it, and the end of the slot as well."""

_NEXT = attrgetter("next")

SLICE_SECONDS = 0.001
"""How long handlers that never wait may keep the event loop to themselves."""


class Slot:
    """Works through the buffer of its station, and ends when that is empty.

    Handlers that do not wait follow each other without a pause, but let the event loop have its
    turn every millisecond. One that waits lets further slots of the station begin.

    Args:
        station: whose deliveries it runs.
        desk: where it hands in the results.

    Attributes:
        holds: what it runs, or is about to: the first of each line.
        lost: those of them whose lease is lost.
        task: its task.
        deadline: when what runs is to be cancelled.
    """

    __slots__ = (
        "_abandoned",
        "_desk",
        "_overdue",
        "_pause_at",
        "_station",
        "_waited",
        "deadline",
        "holds",
        "lost",
        "task",
    )

    def __init__(self, station: Station, desk: Desk) -> None:
        self._station = station
        self._desk = desk
        self._abandoned = False
        self._overdue = False
        self._waited = False
        self._pause_at = time.monotonic() + SLICE_SECONDS
        self.deadline = inf
        self.holds: Sequence[Delivery] = ()
        self.lost: set[Delivery] = set()
        self.task = asyncio.create_task(self._work(), name="arvo-slot")

    def abandon(self) -> None:
        """Cancel what runs; its result does not count any more."""
        self._abandoned = True
        self._desk.leaving.add(self.task)
        self.task.add_done_callback(self._desk.leaving.discard)
        self.task.cancel()

    def expire(self) -> None:
        """Cancel what runs: its time is up."""
        self._overdue = True
        self.task.cancel()

    async def _work(self) -> None:
        station = self._station
        try:
            await (self._run_each() if station.route.run_many is None else self._run_batches())
        except BaseException:
            if not self._abandoned:
                # Whoever cancelled the task meant what ran before, or the whole event loop.
                station.put_back(self.holds)
            raise
        finally:
            station.leave(self)

    async def _run_each(self) -> None:
        station, clock = self._station, time.monotonic
        buffer, run = station.buffer, station.route.run
        takes_turns, lease = station.route.stateful, self._desk.lease
        while buffer:
            delivery: Delivery | None = buffer.popleft()
            while delivery is not None:
                self.holds = (delivery,)
                if takes_turns and delivery.key is None and not await self._take_turn(delivery):
                    break
                began = clock()
                if began > delivery.asked_at + lease and self._gave_up(delivery, began):
                    break
                delivery.started = began
                running = _traced(run, delivery) if self._desk.tracing else run(delivery)
                try:
                    result = await self._run(running, began + delivery.expire_in)
                except BaseException as error:  # or nobody would settle it
                    if self._abandoned:
                        return
                    result = self._ended(delivery, error)
                    if isinstance(error, _MEANS_MORE):
                        self._finish([delivery], [result], clock() - began)
                        raise
                if self._abandoned:
                    return
                ended = clock()
                delivery = station.finish(delivery, result, ended - began)
                self.holds = () if delivery is None else (delivery,)
                if self._waited or ended >= self._pause_at or self.task.cancelling():
                    await self._let_others(ended)

    async def _run_batches(self) -> None:
        station, clock = self._station, time.monotonic
        buffer, size = station.buffer, station.route.options.worker.batch_size
        run = station.route.run_many
        while buffer and run is not None:
            batch = [buffer.popleft() for _ in range(min(size, len(buffer)))]
            self.holds = batch
            self.lost.clear()
            began = clock()
            if began > batch[0].asked_at + self._desk.lease:
                self.holds = batch = [one for one in batch if not self._gave_up(one, began)]
                if not batch:
                    continue
            for delivery in batch:
                delivery.started = began
            deadline = began + min(delivery.expire_in for delivery in batch)
            try:
                outcomes = await self._run(run(batch), deadline)
            except BaseException as error:  # or nobody would settle them
                if self._abandoned:
                    return
                results: Sequence[Result | None] | None = (
                    [delivery.released() for delivery in batch]
                    if self._goes_down(error)
                    else self._all_failed(batch, error)
                )
                if isinstance(error, _MEANS_MORE):
                    self._finish(batch, results, clock() - began)
                    raise
            else:
                results = None if outcomes is None else list(map(self._result, batch, outcomes))
            if self._abandoned:
                return
            ended = clock()
            self._finish(batch, results, ended - began)
            await self._let_others(ended)

    def _finish(
        self, batch: Sequence[Delivery], results: Sequence[Result | None] | None, seconds: float
    ) -> None:
        """Hand in the results of deliveries that ran together; what is behind them comes next.

        Args:
            batch: what ran.
            results: of each; None if all are plainly completed.
            seconds: how long all of them took.
        """
        station, share = self._station, seconds / len(batch)
        if not any(results or ()) and not any(map(_NEXT, batch)):
            self.holds = ()
            station.finish_all(batch, seconds)
            return
        if results is None:
            results = [None] * len(batch)
        following = [
            found
            for delivery, result in zip(batch, results, strict=True)
            if (found := station.finish(delivery, result, share)) is not None
        ]
        self.holds = ()
        station.put_back(following)

    async def _run(self, running: Coroutine[Any, Any, Answer], deadline: float) -> Answer:
        """Run a coroutine in a context of its own, until a deadline.

        Raises:
            DeadlineExceeded: it was cancelled because its time was up.
        """
        context = copy_context()
        try:
            waits_for = context.run(running.send, None)
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer
        self._waited = True
        self._desk.watch.begin(self, deadline)
        try:
            with self._station.waiting():
                return await carry_on(context, running, waits_for)
        except asyncio.CancelledError as error:
            if not self._overdue or self._abandoned:
                raise
            first = self.holds[0]
            raise DeadlineExceeded(
                "the handler ran too long and was cancelled",
                detail=f"it may run {first.expire_in:g} seconds in queue {first.queue!a}",
                hint="Raise expire_in_seconds, or do less in one step.",
                field="expire_in_seconds",
            ) from error
        finally:
            self._desk.watch.end(self)
            if self._overdue:
                self._overdue = False
                self.task.uncancel()

    async def _let_others(self, ended: float) -> None:
        """Let the event loop have its turn, if it is due.

        Raises:
            CancelledError: the task is to end; or the handler has cancelled the task it ran in.
        """
        if self.task.cancelling():
            raise asyncio.CancelledError
        if self._waited:
            self._waited = False
            self._pause_at = ended + SLICE_SECONDS
            self._desk.nudge(self._station)
        elif ended >= self._pause_at:
            self._desk.nudge(self._station)
            await asyncio.sleep(0)
            self._pause_at = time.monotonic() + SLICE_SECONDS

    async def _take_turn(self, delivery: Delivery) -> bool:
        """Wait until earlier deliveries of the subject are settled; say whether to run this one."""
        try:
            with self._station.waiting():
                await self._desk.turns.take(delivery)
        except StaleClaim:
            self._station.finish(delivery, delivery.released(), 0.0)
            return False
        return True

    def _gave_up(self, delivery: Delivery, now: float) -> bool:
        """Do not run what has probably gone elsewhere; say whether that is so."""
        if not self._desk.has_lapsed(delivery, now):
            return False
        self._station.finish(delivery, delivery.released(), 0.0)
        return True

    def _result(self, delivery: Delivery, outcome: Outcome) -> Result | None:
        if isinstance(outcome, Exception):
            return self._failed(delivery, outcome)
        return delivery.completed(outcome) if outcome else None

    def _goes_down(self, error: BaseException) -> bool:
        """Whether what was cancelled is only a neighbour of what has ended the event loop."""
        return isinstance(error, asyncio.CancelledError) and self._desk.ends_with_the_loop

    def _ended(self, delivery: Delivery, error: BaseException) -> Result:
        if self._goes_down(error):
            return delivery.released()
        return self._failed(delivery, error)

    def _failed(self, delivery: Delivery, error: BaseException) -> Result:
        record = ErrorRecord.of(error)
        self._desk.warn(
            "event %a in %a, attempt %d failed: %s: %a",
            delivery.event_id,
            delivery.queue,
            delivery.attempt,
            record.name,
            record.message[:500],
            extra=log_fields(delivery) | {"outcome": "failed"},
        )
        return delivery.failed_with(record)

    def _all_failed(self, batch: Sequence[Delivery], error: BaseException) -> list[Result]:
        record = ErrorRecord.of(error)
        self._desk.warn(
            "a batch of %d events in %a failed: %s: %a",
            len(batch),
            batch[0].queue,
            record.name,
            record.message[:500],
            extra={"queue": plain(batch[0].queue, LONGEST), "outcome": "failed"},
        )
        return [delivery.failed_with(record) for delivery in batch]


async def _traced(run: Run, delivery: Delivery) -> Result | None:
    with process_span(delivery):
        return await run(delivery)
