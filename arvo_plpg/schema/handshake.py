"""Whether this package and a database understand each other.

The query and the judgement are separate, so that blocking and asynchronous callers share
both and each runs the query in its own way::

    row = connection.execute(about_query("arvo", 1)).fetchone()
    judge(row, offer())
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from arvo_plpg.errors import ClientTooOld, SchemaMissing, SchemaTooOld
from arvo_plpg.schema.names import ORIGIN, Names
from arvo_plpg.schema.tree import SqlTree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ABSENT = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
)
"""What the server answers when nothing is installed."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a package brings.

    Args:
        revision: Number of the newest migration that it ships: its own age.
        needed: Number of the newest ``before`` migration: what a database must have.
    """

    revision: int
    needed: int


@cache
def offer(sql_root: Path | None = None) -> Offer:
    """Return what this package brings.

    Raises:
        SqlTreeBroken: The package's SQL files are missing.
    """
    migrations = SqlTree.find(sql_root).shipped()
    needed = max((m.number for m in migrations if m.phase == "before"), default=0)
    return Offer(migrations[-1].number, needed)


def about_query(schema: str = ORIGIN, version: int = 1) -> sql.Composed:
    """Return the query whose only row ``judge`` wants: contract, revision, oldest client.

    Args:
        schema: Name of the installation.
        version: Contract version.

    Raises:
        InvalidSchemaName: The name breaks the rule.
    """
    function = sql.Identifier(Names(schema).contract(version), "about")
    return sql.SQL("SELECT contract, revision, oldest_client FROM {}()").format(function)


def judge(row: Sequence[int | None] | None, brought: Offer) -> None:
    """Return if both sides fit, and say what to do otherwise.

    Args:
        row: What the query gave; None when it gave no row or failed with one of ``ABSENT``.
        brought: What this package brings.

    Raises:
        SchemaMissing: Nothing is installed.
        SchemaTooOld: The database lacks a migration that this package needs.
        ClientTooOld: The database no longer serves clients of this age.
    """
    _contract, revision, oldest_client = row or (None, None, None)
    if revision is None:
        raise SchemaMissing(
            "arvo is not installed in this database",
            hint="Run: arvo-plpg migrate",
        )
    if revision < brought.needed:
        raise SchemaTooOld(
            "the database is older than this package",
            detail=f"it is at revision {revision}; this package needs {brought.needed}",
            hint="Run: arvo-plpg migrate",
        )
    if oldest_client is not None and oldest_client > brought.revision:
        raise ClientTooOld(
            "this package is older than the database allows",
            detail=f"this package is of revision {brought.revision}; "
            f"the database serves clients from {oldest_client} on",
            hint="Upgrade the package arvo-plpg.",
        )
