"""Call: one function of the contract and its arguments, as SQL. The only SQL of the data path."""

from __future__ import annotations

from functools import lru_cache

from psycopg import sql


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
    given = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(f"p_{name}"), sql.Placeholder(name))
        for name in arguments
    )
    called = sql.SQL("{}({})").format(sql.Identifier(schema, function), given)
    if not columns:
        return sql.SQL("SELECT {}").format(called).as_bytes(None)
    asked = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("SELECT {} FROM {}").format(asked, called).as_bytes(None)
