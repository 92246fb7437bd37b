"""What a database says has been applied: read-only, before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from arvo_plpg.errors import ClientTooOld, PrivilegeMissing, SchemaOccupied
from arvo_plpg.schema.names import Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.schema.tree import Migration


@dataclass(frozen=True, slots=True)
class Ledger:
    """The state of one name in one database.

    Args:
        names: The installation, with roles if the schema's owner says so.
        exists: Whether the schema exists.
        revisions: Numbers in ``revision``, ascending. This is
            the truth: each was written by its migration's own transaction.
        marked: Ids that yoyo has marked as applied; may lag behind by one crash.
    """

    names: Names
    exists: bool = False
    revisions: tuple[int, ...] = ()
    marked: frozenset[str] = frozenset()

    def applied(self, migrations: Sequence[Migration]) -> list[Migration]:
        """Return those migrations that this database has, in order."""
        by_number = {migration.number: migration for migration in migrations}
        return [by_number[number] for number in self.revisions if number in by_number]

    def refuse_newer(self, migrations: Sequence[Migration]) -> None:
        """Refuse to work on a database that a newer package has migrated.

        Raises:
            ClientTooOld: It has revisions that are unknown here.
        """
        known = {migration.number for migration in migrations}
        unknown = sorted(set(self.revisions) - known)
        if unknown:
            raise ClientTooOld(
                "the database was migrated by a newer version",
                detail=f"schema {self.names.schema} is at revision {unknown[-1]}; "
                f"this package knows up to {max(known, default=0)}",
                hint="Upgrade the package arvo-plpg.",
            )


def read_ledger(conn: psycopg.Connection[Any], schema: str, *, roles: bool | None = None) -> Ledger:
    """Read the state of a name.

    Args:
        conn: Any connection to the database.
        schema: Name of the installation.
        roles: What the caller asks for, for a name that is not installed yet; False on an
            installation with roles is refused, None takes it as it is.

    Raises:
        InvalidSchemaName: The name breaks the rule.
        SchemaOccupied: The schema exists and is not ours, or has roles against the wish.
        PrivilegeMissing: The user may not read the ledger.
    """
    names = Names(schema)
    owner = conn.execute(
        "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s", (schema,)
    ).fetchone()
    if owner is None:
        return Ledger(Names(schema, roles=roles is not False))
    present = {
        row[0]
        for row in conn.execute(
            """SELECT relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
                WHERE nspname = %s AND relname IN ('revision', '_yoyo_migration', 'yoyo_lock')""",
            (schema,),
        )
    }
    has_roles = owner[0] == names.owner
    if has_roles and roles is False:
        raise SchemaOccupied(
            "the schema is installed with roles",
            detail=f"schema {schema} belongs to {owner[0]}",
            hint="Leave --without-roles out, or install under another name.",
        )
    if not has_roles and not present and roles is not False:
        raise SchemaOccupied(
            "the schema exists and is not ours",
            detail=f"schema {schema} belongs to {owner[0]}, not to {names.owner}",
            hint=f"ALTER SCHEMA {schema} OWNER TO {names.owner}; or use --without-roles.",
        )
    found = Names(schema, roles=has_roles)
    try:
        return Ledger(found, True, _revisions(conn, found, present), _marked(conn, found, present))
    except psycopg.errors.InsufficientPrivilege as error:
        user = conn.info.user
        raise PrivilegeMissing(
            "the user may not read which migrations were applied",
            detail=f"user {user}: {error.diag.message_primary}",
            hint=f"Connect as a member of {owner[0]}, or: GRANT {owner[0]} TO {user};",
        ) from error


def _revisions(conn: psycopg.Connection[Any], names: Names, present: set[str]) -> tuple[int, ...]:
    if "revision" not in present:
        return ()
    query = sql.SQL("SELECT number FROM {} ORDER BY number")
    rows = conn.execute(query.format(sql.Identifier(names.schema, "revision"))).fetchall()
    return tuple(row[0] for row in rows)


def _marked(conn: psycopg.Connection[Any], names: Names, present: set[str]) -> frozenset[str]:
    if "_yoyo_migration" not in present:
        return frozenset()
    query = sql.SQL("SELECT migration_id FROM {}")
    rows = conn.execute(query.format(sql.Identifier(names.schema, "_yoyo_migration"))).fetchall()
    return frozenset(row[0] for row in rows)
