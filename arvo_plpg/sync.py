"""The contract's functions for blocking programs, on a borrowed connection.

One method for each function. ``Broker`` and ``Memory`` have the methods of their asynchronous twins
in :mod:`arvo_plpg.aio`. The objects that run handlers, :class:`~arvo_plpg.PostgresEventBroker` and
:class:`~arvo_plpg.PostgresMachineMemory`, are asynchronous only.

Example::

    with psycopg.connect("postgresql://localhost/app") as connection:
        connection.execute("INSERT INTO customer_order …")
        Broker(connection).dispatch(event)  # accepted if and when the order is
"""

from arvo_plpg._sync.broker import Broker
from arvo_plpg._sync.memory import Memory

__all__ = ["Broker", "Memory"]
