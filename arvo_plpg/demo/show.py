"""Show: runs the demonstration on a database and prints what happens."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from arvo_plpg.broker import PostgresEventBroker
from arvo_plpg.demo.average import AVERAGE_CONTRACT, create_average_workflow
from arvo_plpg.demo.calculator import create_add_handler, create_product_handler
from arvo_plpg.demo.human_approval import HUMAN_APPROVAL_CONTRACT
from arvo_plpg.demo.mishaps import (
    BROKEN_CONTRACT,
    FLAKY_CONTRACT,
    LATE_CONTRACT,
    ErrandHandler,
    errand,
)
from arvo_plpg.demo.weighted_average import (
    WEIGHTED_AVERAGE_CONTRACT,
    create_weighted_average_workflow,
)
from arvo_plpg.event_factory import create_arvo_event_factory
from arvo_plpg.options import HandlerOptions, QueueOptions, WorkerOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.rows import DeadLetter, Step

CLIENT = "com.demo.client"
DEAD_LETTERS = "com.demo.broken.service.dead"
DEADLINE_SECONDS = 30.0


class Inbox:
    """Where the answers to the client arrive."""

    def __init__(self) -> None:
        self._answers: dict[str, asyncio.Future[ArvoEvent]] = {}

    def arrive(self, event: ArvoEvent) -> None:
        """Take an answer."""
        answer = self._answer(event.subject)
        if not answer.done():
            answer.set_result(event)

    async def answer_to(self, event: ArvoEvent) -> ArvoEvent:
        """Wait for the answer to an event."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._answer(event.subject)

    def _answer(self, subject: str) -> asyncio.Future[ArvoEvent]:
        return self._answers.setdefault(subject, asyncio.get_running_loop().create_future())


def approve(event: ArvoEvent) -> list[ArvoEvent]:
    """Answer, as the person would, an event that left for the domain ``human.interaction``."""
    factory = create_arvo_event_factory(HUMAN_APPROVAL_CONTRACT.version("1.0.0"))
    return [
        factory.emits(
            type="evt.human.approval.success",
            source="com.demo.person",
            subject=event.subject,
            data={"approval": True},
            to=event.redirectto or event.source,
            parentid=event.id,
        )
    ]


async def show(
    dsn: str,
    schema: str,
    say: Callable[[str], None],
    tell: Callable[[Sequence[Step]], None],
) -> None:
    """Run everything on a migrated database.

    Args:
        dsn: the database.
        schema: name of the installation.
        say: takes each line of the report.
        tell: takes each story that is to be told.

    Raises:
        AssertionError: a result is not what it should be.
        TimeoutError: a workflow did not come to its end.
    """
    quiet = logging.getLogger("arvo_plpg.demo")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    async with AsyncExitStack() as stack:
        workers = []
        for name in ("worker-1", "worker-2", "worker-3"):
            worker = PostgresEventBroker(dsn, schema=schema, name=name, pool_size=2)
            worker.set_logger(quiet)
            workers.append(await stack.enter_async_context(worker))
        first, second, third = workers
        inbox = Inbox()

        async def arrive(event: ArvoEvent) -> None:
            inbox.arrive(event)

        many = HandlerOptions(worker=WorkerOptions(concurrency=10))
        await first.register(create_average_workflow(), many)
        await first.register(create_weighted_average_workflow(), many)
        await second.register(create_add_handler(), many)
        await second.register(create_product_handler(), many)
        await third.on_workflow_complete(source=CLIENT, listener=arrive, options=many)
        third.on_domained_event(approve)
        demonstration = _Demonstration(third, inbox, say, tell)
        await demonstration.average()
        await demonstration.weighted_average()
        await demonstration.flaky()
        await demonstration.dead_letter()
        await demonstration.late()


class _Demonstration:
    def __init__(
        self,
        broker: PostgresEventBroker,
        inbox: Inbox,
        say: Callable[[str], None],
        tell: Callable[[Sequence[Step]], None],
    ) -> None:
        self._broker = broker
        self._inbox = inbox
        self._say = say
        self._tell = tell

    async def average(self) -> None:
        factory = create_arvo_event_factory(AVERAGE_CONTRACT.version("1.0.0"))
        start = factory.init(source=CLIENT, data={"parentSubject$$": None, "numbers": [10, 20, 30]})
        self._say(
            "The average of 10, 20 and 30: a state machine on one worker, a calculator on another."
        )
        await self._broker.dispatch(start)
        answer = await self._inbox.answer_to(start)
        await self._story_of(start)
        _expect(answer.data["average"], 20)
        self._say(f"  average = {answer.data['average']:g}\n")

    async def weighted_average(self) -> None:
        factory = create_arvo_event_factory(WEIGHTED_AVERAGE_CONTRACT.version("1.0.0"))
        items = [{"value": 10, "weight": 0.5}, {"value": 20, "weight": 0.5}]
        start = factory.init(source=CLIENT, data={"parentSubject$$": None, "input": items})
        self._say(
            "The weighted average of 10 * 0.5 and 20 * 0.5: asks a person first, then multiplies "
            "in parallel\nand collects the products."
        )
        await self._broker.dispatch(start)
        answer = await self._inbox.answer_to(start)
        await self._story_of(start)
        _expect(answer.data["output"], 7.5)
        self._say(f"  weighted average = {answer.data['output']:g}\n")

    async def flaky(self) -> None:
        self._say("A service that fails twice and succeeds:")
        await self._broker.register(
            ErrandHandler(FLAKY_CONTRACT, failures=2),
            HandlerOptions(worker=WorkerOptions(retry_limit=3, retry_delay=0.1)),
        )
        event = errand(FLAKY_CONTRACT, source=CLIENT, text="try, try again")
        await self._broker.dispatch(event)
        answer = await self._inbox.answer_to(event)
        await self._story_of(event)
        _expect(answer.data["attempts"], 3)
        self._say("")

    async def dead_letter(self) -> None:
        self._say("A service that stays broken; its event ends in the dead-letter queue:")
        service = ErrandHandler(BROKEN_CONTRACT, failures=None)
        await self._broker.register(
            service,
            HandlerOptions(
                queue=QueueOptions(dead_letter=DEAD_LETTERS), worker=WorkerOptions(retry_limit=1)
            ),
        )
        event = errand(BROKEN_CONTRACT, source=CLIENT, text="against all odds")
        await self._broker.dispatch(event)
        async with asyncio.timeout(DEADLINE_SECONDS), self._broker.connection() as broker:
            letters = await self._letters_of(event)
            while not letters:
                await asyncio.sleep(0.02)
                letters = await self._letters_of(event)
            await self._story_of(event)
            letter = letters[0]
            error = letter.error or {}
            self._say(
                f"  dead letter {letter.dead}: {letter.reason} after {letter.attempts} attempts: "
                f"{error.get('message')}"
            )
            self._say("It is repaired, and the dead letter is redriven:")
            service.repair()
            await broker.redrive(dead=[letter.dead])
        await self._inbox.answer_to(event)
        await self._story_of(event)
        self._say("")

    async def late(self) -> None:
        event = errand(LATE_CONTRACT, source=CLIENT, text="is anybody there?")
        accepted = await self._broker.dispatch(event)
        self._say(f"An event that nobody handles: {accepted.outcome}. It is not lost, it waits:")
        await self._story_of(event)
        self._say("A handler is registered for it, and it is delivered:")
        await self._broker.register(ErrandHandler(LATE_CONTRACT))
        await self._inbox.answer_to(event)
        await self._story_of(event)
        self._say("")

    async def _letters_of(self, event: ArvoEvent) -> list[DeadLetter]:
        async with self._broker.connection() as broker:
            letters = await broker.dead_letters(DEAD_LETTERS)
        return [letter for letter in letters if letter.event_id == event.id]

    async def _story_of(self, event: ArvoEvent) -> None:
        """Tell the story, once what was last reported is settled."""
        async with asyncio.timeout(DEADLINE_SECONDS), self._broker.connection() as broker:
            steps = await broker.trace(event.subject)
            while any(step.outcome == "active" for step in steps):
                await asyncio.sleep(0.01)
                steps = await broker.trace(event.subject)
        self._tell(steps)


def _expect(found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"the result is {found}, not {expected}")
