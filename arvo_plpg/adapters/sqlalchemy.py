"""Dispatch in the transaction of a session or connection of SQLAlchemy, with the driver psycopg.

Example::

    with Session(engine) as session, session.begin():
        session.add(order)
        dispatch(session, event)

    async with AsyncSession(engine) as session, session.begin():
        session.add(order)
        await dispatch_async(session, event)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Unpack

import psycopg
from sqlalchemy.orm import Session, scoped_session

from arvo_plpg import aio, sync
from arvo_plpg.adapters.arguments import DispatchFields, checked
from arvo_plpg.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.rows import Dispatched

    Place = Session | scoped_session[Any] | Connection
    AsyncPlace = AsyncSession | AsyncConnection


def dispatch(place: Place, event: ArvoEvent, **fields: Unpack[DispatchFields]) -> Dispatched:
    """Accept one event; see :meth:`~arvo_plpg.PostgresEventBroker.dispatch`.

    Raises:
        InvalidArgument: the engine's driver is not psycopg.
    """
    schema, given = checked([event], fields)
    return sync.Broker(_driver(place), schema=schema).dispatch(event, **given)


def dispatch_many(
    place: Place, events: Sequence[ArvoEvent], **fields: Unpack[DispatchFields]
) -> list[Dispatched]:
    """Accept events in order, all or none; otherwise as :func:`dispatch`."""
    schema, given = checked(events, fields)
    return sync.Broker(_driver(place), schema=schema).dispatch_many(events, **given)


async def dispatch_async(
    place: AsyncPlace, event: ArvoEvent, **fields: Unpack[DispatchFields]
) -> Dispatched:
    """Accept one event; see :func:`dispatch`."""
    schema, given = checked([event], fields)
    return await aio.Broker(await _async_driver(place), schema=schema).dispatch(event, **given)


async def dispatch_many_async(
    place: AsyncPlace, events: Sequence[ArvoEvent], **fields: Unpack[DispatchFields]
) -> list[Dispatched]:
    """Accept events in order, all or none; otherwise as :func:`dispatch`."""
    schema, given = checked(events, fields)
    broker = aio.Broker(await _async_driver(place), schema=schema)
    return await broker.dispatch_many(events, **given)


def _driver(place: Place) -> psycopg.Connection[Any]:
    connection = place.connection() if isinstance(place, Session | scoped_session) else place
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        _refuse(driver)
    if not connection.in_transaction():
        connection.begin()  # as its own statements would
    return driver


async def _async_driver(place: AsyncPlace) -> psycopg.AsyncConnection[Any]:
    from sqlalchemy.ext.asyncio import AsyncSession  # noqa: PLC0415 - it needs greenlet

    connection = await place.connection() if isinstance(place, AsyncSession) else place
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        _refuse(driver)
    if not connection.in_transaction():
        await connection.begin()
    return driver


def _refuse(driver: object) -> NoReturn:
    raise InvalidArgument(
        "argument is not valid",
        detail=f"the connection's driver is {type(driver).__module__}.{type(driver).__qualname__}",
        hint="Make the engine with postgresql+psycopg://…",
        field="place",
    )
