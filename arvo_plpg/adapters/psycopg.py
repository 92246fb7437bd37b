"""Dispatch on a blocking connection of psycopg, in its transaction.

Example::

    with psycopg.connect("postgresql://localhost/app") as connection:
        connection.execute("INSERT …")
        dispatch(connection, event)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from arvo_plpg.adapters.arguments import DispatchFields, checked
from arvo_plpg.sync import Broker

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.rows import Dispatched


def dispatch(
    connection: psycopg.Connection[Any], event: ArvoEvent, **fields: Unpack[DispatchFields]
) -> Dispatched:
    """Accept one event; see :meth:`~arvo_plpg.PostgresEventBroker.dispatch`."""
    schema, given = checked([event], fields)
    return Broker(connection, schema=schema).dispatch(event, **given)


def dispatch_many(
    connection: psycopg.Connection[Any],
    events: Sequence[ArvoEvent],
    **fields: Unpack[DispatchFields],
) -> list[Dispatched]:
    """Accept events in order, all or none."""
    schema, given = checked(events, fields)
    return Broker(connection, schema=schema).dispatch_many(events, **given)
