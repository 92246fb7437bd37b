"""Dispatch on a connection of Django, in its transaction.

Example::

    with transaction.atomic():
        Order.objects.create(…)
        dispatch(event)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

from arvo_plpg.adapters.arguments import DispatchFields, checked
from arvo_plpg.errors import InvalidArgument
from arvo_plpg.sync import Broker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.rows import Dispatched


def dispatch(
    event: ArvoEvent, *, using: str = DEFAULT_DB_ALIAS, **fields: Unpack[DispatchFields]
) -> Dispatched:
    """Accept one event; see :meth:`~arvo_plpg.PostgresEventBroker.dispatch`.

    Outside of ``atomic`` it is accepted at once, as Django's own statements are.

    Args:
        event: the event.
        using: alias of the database.
        fields: options of the delivery.

    Raises:
        InvalidArgument: the database's driver is not psycopg.
    """
    schema, given = checked([event], fields)
    return Broker(_driver(using), schema=schema).dispatch(event, **given)


def dispatch_many(
    events: Sequence[ArvoEvent], *, using: str = DEFAULT_DB_ALIAS, **fields: Unpack[DispatchFields]
) -> list[Dispatched]:
    """Accept events in order, all or none; otherwise as :func:`dispatch`."""
    schema, given = checked(events, fields)
    return Broker(_driver(using), schema=schema).dispatch_many(events, **given)


def _driver(using: str) -> psycopg.Connection[Any]:
    wrapper = connections[using]
    wrapper.validate_no_broken_transaction()
    with wrapper.cursor() as cursor:  # connects, and checks the thread
        driver = getattr(cursor, "connection", None)
    if not isinstance(driver, psycopg.Connection):
        raise InvalidArgument(
            "argument is not valid",
            detail=f"the driver of database {using!a} is {type(driver).__module__}",
            hint="Use django.db.backends.postgresql with psycopg 3.",
            field="using",
        )
    return driver
