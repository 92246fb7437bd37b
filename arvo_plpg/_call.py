"""Call: one function of the contract and its arguments, as SQL. The only SQL of the data path."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from psycopg import errors, sql

if TYPE_CHECKING:
    from collections.abc import Sequence

MIGRATED = (
    errors.CannotCoerce,
    errors.DatatypeMismatch,
    errors.DeadlockDetected,
    errors.FeatureNotSupported,  # a cached plan must not change its result type
    errors.InternalError_,  # a cache look-up of a function or type that is gone
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.UndefinedObject,
    errors.UndefinedTable,
)
"""What a call may fail with, once, when the schema is migrated while it runs: it had begun by the
old text of a function and met a new one. Nothing of it is kept, and the next call finds the new.
"""

MOST_TRIES = 3
"""How often a call is made that fails so: two migrations may follow each other."""


@lru_cache(maxsize=1024)
def call(schema: str, function: str, arguments: tuple[str, ...], columns: tuple[str, ...]) -> bytes:
    """Write the call of a contract function with arguments by name.

    Bytes, and the same ones each time: psycopg reads a query's placeholders once when it knows the
    query again, and writes a composed one anew each time.

    Args:
        schema: the contract's schema, such as ``arvo_v1``.
        function: name of the function.
        arguments: names of the arguments given, without their ``p_``; what is not given takes the
            default that the function declares.
        columns: columns to ask for; none for a function that answers one value.
    """
    return _call(schema, function, arguments, columns, list(map(sql.Placeholder, arguments)))


@lru_cache(maxsize=64)
def numbered_call(
    schema: str, function: str, arguments: tuple[str, ...], columns: tuple[str, ...]
) -> bytes:
    """Write the same as the server itself reads it, with ``$1`` for the first argument.

    Args:
        schema: as in :func:`call`.
        function: as in :func:`call`.
        arguments: as in :func:`call`.
        columns: as in :func:`call`.
    """
    numbers = [sql.SQL("${}").format(sql.Literal(n)) for n in range(1, len(arguments) + 1)]
    return _call(schema, function, arguments, columns, numbers)


def _call(
    schema: str,
    function: str,
    arguments: tuple[str, ...],
    columns: tuple[str, ...],
    places: Sequence[sql.Composable],
) -> bytes:
    given = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(f"p_{name}"), place)
        for name, place in zip(arguments, places, strict=True)
    )
    called = sql.SQL("{}({})").format(sql.Identifier(schema, function), given)
    if not columns:
        return sql.SQL("SELECT {}").format(called).as_bytes(None)
    asked = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("SELECT {} FROM {}").format(asked, called).as_bytes(None)


def settings(names: tuple[str, ...]) -> bytes:
    """Write the statement that sets these for the session, each to the argument of its name.

    A statement, and not an option of the connection: poolers refuse those.

    Args:
        names: settings, such as ``statement_timeout``.
    """
    each = sql.SQL(", ").join(
        sql.SQL("set_config({}, {}, false)").format(sql.Literal(name), sql.Placeholder(name))
        for name in names
    )
    return sql.SQL("SELECT {}").format(each).as_bytes(None)
