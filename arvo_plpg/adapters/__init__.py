"""Adapters: accept events in the transaction of a library that you use already.

* :mod:`arvo_plpg.adapters.psycopg`, for a blocking connection of psycopg;
* :mod:`arvo_plpg.adapters.sqlalchemy`, for sessions and connections, blocking or asynchronous;
* :mod:`arvo_plpg.adapters.django`, for Django's connections.

Each has ``dispatch`` and ``dispatch_many`` with the arguments of
:class:`~arvo_plpg.PostgresEventBroker`. An event exists if and when your transaction commits; if
it is rolled back, to a savepoint or wholly, nothing is left of it.
"""
