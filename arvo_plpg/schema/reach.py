"""Which tables a migration shuts others out of, so that it can take their locks at its beginning.

A migration that takes them one by one as it comes to them waits for a call that holds one and waits
for another, which it has: neither can go on. Taken first, and in the order in which calls come to
the tables, they are had as soon as the calls that are under way have ended.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

_BLOCKS = re.compile(r"^--! function .*?^--! end$", re.MULTILINE | re.DOTALL)
_TABLES = re.compile(
    r"^(?:ALTER|DROP) TABLE (?:IF EXISTS )?(?:ONLY )?([a-z_0-9.]+)"
    r"|^CREATE (?:UNIQUE )?INDEX [a-z_0-9]+\s+ON (?:ONLY )?([a-z_0-9.]+)"
    r"|^DROP INDEX (?:IF EXISTS )?([a-z_0-9.]+)",
    re.MULTILINE,
)
_FIRST = ("server_start", "origin", "queue", "lane", "generation", "log", "lease", "closure")
"""What calls come to first, in this order."""

_FIND = """
SELECT DISTINCT space.nspname, met.relname
  FROM unnest(%s::text[]) AS named (name)
  JOIN pg_class AS found ON found.oid = to_regclass(named.name)
  LEFT JOIN pg_index ON pg_index.indexrelid = found.oid
  JOIN pg_class AS met ON met.oid = coalesce(pg_index.indrelid, found.oid)
  JOIN pg_namespace AS space ON space.oid = met.relnamespace
 WHERE met.relkind IN ('r', 'p')
"""


def named_tables(text: str) -> list[str]:
    """Return the tables, and indexes, that the statements of a migration change or remove."""
    found = _TABLES.findall(_BLOCKS.sub("", text))
    return sorted({name for names in found for name in names if name})


def lock_first(connection: psycopg.Connection[Any], names: list[str]) -> None:
    """Take the locks of those tables that exist, for the rest of the transaction.

    Raises:
        psycopg.errors.LockNotAvailable: somebody has one in hand.
    """
    rows = connection.execute(_FIND, (names,)).fetchall()
    order = {name: place for place, name in enumerate(_FIRST)}
    rows.sort(key=lambda row: (order.get(row[1], len(order)), row))
    if rows:
        tables = sql.SQL(", ").join(sql.Identifier(*row) for row in rows)
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))
