"""The ground a migration stands on: roles and the private schema.

Both must exist before yoyo connects, because its own tables live in that schema.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from arvo_plpg.errors import PrivilegeMissing
from arvo_plpg.schema.edition import Edition
from arvo_plpg.schema.target import fetch_value

if TYPE_CHECKING:
    from arvo_plpg.schema.names import Names
    from arvo_plpg.schema.tree import SqlTree

_SET_OPTION_SINCE = 160000
_RACES = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateSchema,
    psycopg.errors.InternalError_,  # "tuple concurrently updated": roles belong to the cluster
)
_TRIES = 10


def prepare_ground(conn: psycopg.Connection[Any], names: Names, tree: SqlTree) -> None:
    """Create what is missing of roles and schema, idempotently.

    Args:
        conn: A connection in autocommit mode, as the user who migrates.
        names: The installation.
        tree: Where ``roles.sql`` is.

    Raises:
        PrivilegeMissing: Something is missing and this user may not create it. The hint
            has the exact statements for a DBA.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            _prepare(conn, names, tree)
        except _RACES:
            if attempt == _TRIES:
                raise
            time.sleep(0.05 * attempt)
        else:
            return


def ground_statements(conn: psycopg.Connection[Any], names: Names) -> list[str]:
    """Return the statements that would make this user able to migrate; none if it is."""
    lacking: list[str] = []
    user = sql.Identifier(str(fetch_value(conn, "SELECT current_user")))
    # A rollback to 0 leaves the private schema. A copy of a database, or a dump restored into
    # another one, does not bring what was granted on the database.
    exists = fetch_value(
        conn,
        "SELECT to_regnamespace(%s) IS NOT NULL AND to_regnamespace(%s) IS NOT NULL",
        (names.schema, names.contract(1)),
    )
    creator = fetch_value(conn, "SELECT current_user")
    if names.roles:
        creator = names.owner
        lacking += [
            f"CREATE ROLE {role} NOLOGIN;"
            for role in names.all_roles
            if fetch_value(conn, "SELECT to_regrole(%s) IS NULL", (role,))
        ]
        if not _may_become(conn, names.owner):
            options = (
                " WITH INHERIT TRUE, SET TRUE"
                if conn.info.server_version >= _SET_OPTION_SINCE
                else ""
            )
            grant = sql.SQL("GRANT {} TO {}" + options + ";")
            lacking.append(grant.format(sql.Identifier(names.owner), user).as_string(conn))
    known = fetch_value(conn, "SELECT to_regrole(quote_ident(%s)) IS NOT NULL", (creator,))
    query = "SELECT has_database_privilege(%s, current_database(), 'CREATE')"
    if not exists and not (known and fetch_value(conn, query, (creator,))):
        grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {};")
        database = sql.Identifier(str(fetch_value(conn, "SELECT current_database()")))
        lacking.append(grant.format(database, sql.Identifier(str(creator))).as_string(conn))
    return lacking


def _may_become(conn: psycopg.Connection[Any], role: str) -> bool:
    if fetch_value(conn, "SELECT to_regrole(%s) IS NULL", (role,)):
        return False
    mode = "SET" if conn.info.server_version >= _SET_OPTION_SINCE else "MEMBER"
    return bool(fetch_value(conn, "SELECT pg_has_role(current_user, %s, %s)", (role, mode)))


def _prepare(conn: psycopg.Connection[Any], names: Names, tree: SqlTree) -> None:
    reason = ""
    if names.roles and ground_statements(conn, names):
        try:
            with conn.transaction():
                conn.execute(Edition(names).text(tree.roles_text).encode())
        except psycopg.errors.InsufficientPrivilege as error:
            reason = error.diag.message_primary or ""
    if lacking := ground_statements(conn, names):
        without = " Or install with --without-roles." if names.roles else ""
        raise PrivilegeMissing(
            "the user may not create what the installation stands on",
            detail=f"user {conn.info.user}: {reason or 'may not create schemas here'}",
            hint="Let a DBA run this in the same database, then try again:\n"
            + "\n".join(f"    {statement}" for statement in lacking)
            + without.replace(" Or", "\nOr"),
        )
    if fetch_value(conn, "SELECT to_regnamespace(%s) IS NULL", (names.schema,)):
        with conn.transaction():
            if names.roles:
                conn.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(names.owner)))
            conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(names.schema)))
