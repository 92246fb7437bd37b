"""Calls: the contract's functions for one command, on a connection of its own."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg

from arvo_plpg.cli.options import dsn
from arvo_plpg.errors import ArvoError, DatabaseUnreachable, translate
from arvo_plpg.schema.handshake import ABSENT, about_query, judge, offer
from arvo_plpg.schema.target import Target
from arvo_plpg.sync import Broker

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


@contextmanager
def broker(arguments: argparse.Namespace, purpose: str) -> Iterator[Broker]:
    """Hold the broker's functions on a connection of its own, after the hand-shake.

    Each call is a transaction.

    Args:
        arguments: with ``dsn`` and ``schema``.
        purpose: the connection's name in ``pg_stat_activity``.

    Raises:
        DatabaseUnreachable: no connection, or it broke.
        ArvoError: what the database refused.
    """
    target = Target.parse(dsn(arguments))
    with closing(target.connect(purpose)) as connection:
        try:
            try:
                row = connection.execute(about_query(arguments.schema)).fetchone()
            except ABSENT:
                row = None
            judge(row, offer(arguments.sql_root))
            yield Broker(connection, schema=arguments.schema)
        except psycopg.Error as error:
            reason = f"{target.scrub(str(error)).strip()} (SQLSTATE {error.sqlstate})"
            if connection.closed or isinstance(error, psycopg.OperationalError):
                raise DatabaseUnreachable(
                    "the connection broke", detail=reason, hint="Look what was done, and go on."
                ) from error
            known = translate(error)
            if isinstance(known, ArvoError):
                raise known from error
            raise ArvoError("the database refused a call", detail=reason) from error
