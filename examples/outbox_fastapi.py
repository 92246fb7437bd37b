"""An order taken over HTTP: the row and the event that tells of it are one transaction.

    python examples/outbox_fastapi.py

The usual outbox is a table of events beside the orders, and a process that reads it. Here the table
is the broker's and nobody has to read it: `dispatch_async` puts the event into the session's own
transaction. An order that is refused after the event was dispatched leaves neither.

The script calls the application in the same process, so that it ends by itself; `uvicorn
outbox_fastapi:app`, in this folder and with DATABASE_URL set, serves it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import httpx
import psycopg
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from stage import database

import arvo_plpg as arvo
from arvo_plpg.adapters.sqlalchemy import dispatch_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHOP = "com.example.shop"


class Placed(BaseModel):
    """An order, as the customer sends it and as the event tells of it."""

    item: str
    quantity: int


class Base(DeclarativeBase):
    """Tables of the application."""


class OrderRow(Base):
    """The application's own table."""

    __tablename__ = "example_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    quantity: Mapped[int]


placed_1 = arvo.contract_version("1.0.0", accepts=Placed)
placed = arvo.create_arvo_contract(uri="#/placed", type="com.order.placed", versions=[placed_1])
told: asyncio.Queue[str] = asyncio.Queue()


@placed_1.handler
async def send_mail(call: arvo.HandlerContext[Placed]) -> None:
    """Tell the customer; runs when the order is committed, and not otherwise."""
    await told.put(f"mail: {call.payload.quantity} x {call.payload.item}")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run a worker beside the application; it could as well be a process of its own."""
    dsn = os.environ["DATABASE_URL"]
    engine = create_async_engine(
        "postgresql+psycopg://", async_creator=partial(psycopg.AsyncConnection.connect, dsn)
    )
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with arvo.PostgresEventBroker(dsn) as broker:
        await broker.register(arvo.create_arvo_event_handler(contract=placed, handler=[send_mail]))
        app.state.engine = engine
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/orders")
async def take_order(order: Placed) -> dict[str, int]:
    """Store the order and tell of it, or neither."""
    event = arvo.create_arvo_event_factory(placed.version(placed_1)).accepts(
        source=SHOP, subject="orders", data=order
    )
    async with AsyncSession(app.state.engine) as session, session.begin():
        row = OrderRow(item=order.item, quantity=order.quantity)
        session.add(row)
        await dispatch_async(session, event)
        if order.quantity < 1:  # found late, on purpose: the transaction takes both back
            raise HTTPException(422, "quantity: at least 1")
        await session.flush()
        return {"id": row.id}


@app.get("/orders")
async def count_orders() -> dict[str, int]:
    """How many orders there are."""
    async with AsyncSession(app.state.engine) as session:
        count = await session.scalar(select(func.count()).select_from(OrderRow))
        return {"orders": count or 0}


async def main() -> None:
    """Be the customer."""
    transport = httpx.ASGITransport(app=app)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://shop") as web:
        for item, quantity in (("book", 2), ("ghost", 0), ("lamp", 1)):
            answer = await web.post("/orders", json={"item": item, "quantity": quantity})
            print(f"{item}: {answer.status_code}")
        async with asyncio.timeout(30):
            for mail in sorted([await told.get(), await told.get()]):
                print(mail)
        print((await web.get("/orders")).json())


if __name__ == "__main__":
    with database() as url:
        os.environ["DATABASE_URL"] = url
        asyncio.run(main())
