"""Whether two default expressions mean the same: one as written, one as the catalog prints it.

``interval '2 minutes'`` is printed as ``'00:02:00'::interval``. Constants of built-in types
are therefore compared by value, which the server computes. Nothing else is ever evaluated:
an expression found in a catalog may call a function that its owner would like the reader,
perhaps a superuser, to call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg

from arvo_plpg.schema.function import written
from arvo_plpg.schema.lexer import Kind, lex

if TYPE_CHECKING:
    from psycopg.abc import Query

_TYPES = frozenset(
    {
        *("bigint", "bool", "boolean", "bytea", "character", "date", "double", "int", "integer"),
        *("interval", "json", "jsonb", "name", "numeric", "precision", "real", "smallint", "text"),
        *("time", "timestamp", "timestamptz", "uuid", "varying", "with", "without", "xid8", "zone"),
    }
)
_CONSTANTS = frozenset({"NULL", "TRUE", "FALSE", "ARRAY"})
_CALL = re.compile(r"(?:[a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*\(\)")
_SYMBOLS = frozenset("()[],:+-")


def is_constant(expression: str) -> bool:
    """Tell whether an expression is made of constants and casts to built-in types only."""
    before = ""
    for token in lex(expression):
        if not token.significant:
            continue
        match token.kind:
            case Kind.LITERAL:
                known = True
            case Kind.WORD:
                known = token.keyword in _CONSTANTS or token.text in _TYPES
            case Kind.SYMBOL:
                called = token.text == "(" and before in _TYPES | {"array"}
                known = not called and (token.text in _SYMBOLS or token.text[0].isdigit())
            case _:
                known = False
        if not known:
            return False
        before = token.text.lower()
    return bool(before)


def is_comparable(expression: str) -> bool:
    """Tell whether a default, as written, can be compared later without running it.

    Constants can, and so can ``schema.function()``: the catalog prints it as it was written.
    """
    return is_constant(expression) or _CALL.fullmatch(expression) is not None


def same_default(
    conn: psycopg.Connection[Any], kind: str, expected: str | None, actual: str | None
) -> bool:
    """Compare two defaults of one parameter.

    Args:
        conn: A connection in a read-only transaction.
        kind: The parameter's type, as PostgreSQL names it.
        expected: As written in the sealed block.
        actual: As the catalog prints it.
    """
    if expected is None or actual is None:
        return expected is actual
    builtin = set(kind.removesuffix("[]").split()) <= _TYPES
    if not (builtin and is_constant(expected) and is_constant(actual)):
        ours, theirs = written(list(lex(expected))), written(list(lex(actual)))
        return theirs in (ours, f"{ours}::{kind}")
    # Both are constants of built-in types, by the grammar above: no names, no calls.
    same: Query = (
        f"SELECT (({expected})::{kind})::text IS NOT DISTINCT FROM (({actual})::{kind})::text"  # noqa: S608
    ).encode()
    try:
        with conn.transaction():
            row = conn.execute(same).fetchone()
    except psycopg.Error:
        return False
    return bool(row and row[0])
