"""Fan-out and fan-in: a workflow asks for many pages at once, and goes on when all are there.

    python examples/fan_out.py

A page that cannot be read is an answer as well (``sys.com.page.read.error``), so one bad page does
not hold up the others. Ten pages are read at the same time; the workflow is called for each answer,
and is told how many are still to come.
"""

from __future__ import annotations

import asyncio

from pydantic import BaseModel
from stage import database

import arvo_plpg as arvo

READER = "com.example.reader"
ANSWER = "evt.page.read.success"


class Book(BaseModel):
    """What is to be counted."""

    pages: int


class Page(BaseModel):
    """One page."""

    number: int


class Words(BaseModel):
    """How many words are on it."""

    count: int


class Total(BaseModel):
    """How many words are in the book, and which pages could not be read."""

    count: int
    unreadable: int


page_1 = arvo.simple_version("1.0.0", accepts=Page, emits=Words)
page = arvo.create_simple_arvo_contract(uri="#/page", type="page.read", versions=[page_1])
book_1 = arvo.workflow_version("1.0.0", init=Book, complete=Total)
book = arvo.create_arvo_orchestrator_contract(uri="#/book", name="book.count", versions=[book_1])


@page_1.handler
async def read(call: arvo.HandlerContext[Page]) -> Words:
    """Read a page; every tenth is torn."""
    if call.payload.number % 10 == 0:
        raise ValueError(f"page {call.payload.number} is torn")
    return Words(count=100 + call.payload.number)


@book_1.resumable
async def count(step: arvo.ResumableContext[Book]) -> arvo.ResumableResult[Total] | None:
    """Ask for all pages; wait; add up."""
    if step.payload is not None:
        pages = range(1, step.payload.pages + 1)
        return arvo.ResumableResult(services=[Page(number=number) for number in pages])
    if step.awaiting:
        return None
    read = step.collected_events.get(ANSWER, [])
    torn = step.collected_events.get(page.system_error.type, [])
    return arvo.ResumableResult(
        output=Total(count=sum(answer.data["count"] for answer in read), unreadable=len(torn))
    )


async def main(dsn: str) -> None:
    """Count the words of a book of a hundred pages."""
    ended: asyncio.Queue[arvo.ArvoEvent] = asyncio.Queue()
    many = arvo.HandlerOptions(worker=arvo.WorkerOptions(concurrency=10))
    async with arvo.PostgresEventBroker(dsn) as broker:
        await broker.register(arvo.create_arvo_event_handler(contract=page, handler=[read]), many)
        await broker.register(
            arvo.create_arvo_resumable(
                contract=book, services={"page": page.version(page_1)}, handler=[count]
            )
        )
        await broker.on_workflow_complete(source=READER, listener=ended.put)
        start = arvo.create_arvo_event_factory(book.version(book_1))
        await broker.dispatch(start.init(source=READER, data=Book(pages=100)))
        async with asyncio.timeout(30):
            total = (await ended.get()).data
    print(f"{total['count']} words, {total['unreadable']} pages could not be read")


if __name__ == "__main__":
    with database() as dsn:
        asyncio.run(main(dsn))
