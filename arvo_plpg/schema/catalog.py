"""What the catalog says about an installation: read-only, with every name qualified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

if TYPE_CHECKING:
    import psycopg

    from arvo_plpg.schema.names import Names


@dataclass(frozen=True, slots=True)
class CatalogFunction:
    """One row of ``pg_proc``, spelled out."""

    name: str
    kind: str
    argument_names: list[str]
    argument_types: list[str]
    argument_modes: list[str] | None
    defaults: list[str | None]
    returns: str
    setof: bool
    language: str
    body: str
    volatility: str
    parallel: str
    definer: bool
    strict: bool
    leakproof: bool
    cost: float
    rows: float
    settings: list[str]
    owner: str
    comment: str | None
    grants: list[str]

    @property
    def signature(self) -> str:
        """The name with its parameter types, in full."""
        return f"{self.name}({', '.join(self.argument_types)})"


@dataclass(frozen=True, slots=True)
class Grant:
    """A privilege that somebody other than the owner has on a schema, relation or column."""

    object: str
    kind: str
    grantee: str
    privilege: str


@dataclass(frozen=True, slots=True)
class Owned:
    """A relation and its owner."""

    object: str
    owner: str


_FUNCTIONS = """
SELECT space.nspname || '.' || proc.proname AS name,
       proc.prokind::text AS kind,
       coalesce(proc.proargnames[1:proc.pronargs], '{}') AS argument_names,
       ARRAY(SELECT format_type(type, NULL)
               FROM unnest(proc.proargtypes) WITH ORDINALITY AS given (type, nr)
              ORDER BY nr) AS argument_types,
       proc.proargmodes::text[] AS argument_modes,
       ARRAY(SELECT pg_get_function_arg_default(proc.oid, nr)
               FROM generate_series(1, proc.pronargs::integer) AS nr
              ORDER BY nr) AS defaults,
       format_type(proc.prorettype, NULL) AS returns,
       proc.proretset AS setof,
       language.lanname AS language,
       proc.prosrc AS body,
       proc.provolatile::text AS volatility,
       proc.proparallel::text AS parallel,
       proc.prosecdef AS definer,
       proc.proisstrict AS strict,
       proc.proleakproof AS leakproof,
       proc.procost::float AS cost,
       proc.prorows::float AS rows,
       coalesce(proc.proconfig, '{}') AS settings,
       pg_get_userbyid(proc.proowner)::text AS owner,
       obj_description(proc.oid, 'pg_proc') AS comment,
       ARRAY(SELECT CASE acl.grantee
                        WHEN 0 THEN 'PUBLIC'
                        ELSE pg_get_userbyid(acl.grantee)
                    END || CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
               FROM aclexplode(coalesce(proc.proacl, acldefault('f', proc.proowner))) AS acl
              WHERE acl.grantee <> proc.proowner) AS grants
  FROM pg_proc AS proc
  JOIN pg_namespace AS space ON space.oid = proc.pronamespace
  JOIN pg_language AS language ON language.oid = proc.prolang
 WHERE space.nspname = ANY (%s)
 ORDER BY 1, 4
"""

_GRANTS = """
SELECT object, kind,
       CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(acl.grantee)::text END AS grantee,
       acl.privilege_type AS privilege
  FROM (
        SELECT nspname::text AS object, 'schema' AS kind, nspowner AS owner, nspacl AS acls
          FROM pg_namespace
         WHERE nspname = ANY (%(schemas)s)
        UNION ALL
        SELECT nspname || '.' || relname, 'relation', relowner, relacl
          FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = ANY (%(schemas)s)
        UNION ALL
        SELECT nspname || '.' || relname || '.' || attname, 'column', relowner, attacl
          FROM pg_attribute
          JOIN pg_class ON pg_class.oid = attrelid
          JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = ANY (%(schemas)s) AND attacl IS NOT NULL
       ) AS found
 CROSS JOIN aclexplode(acls) AS acl
 WHERE acl.grantee <> owner
 ORDER BY 1, 3, 4
"""

_OWNED = """
SELECT nspname || '.' || relname AS object, pg_get_userbyid(relowner)::text AS owner
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE nspname = ANY (%(schemas)s) AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
 UNION ALL
SELECT nspname, pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = ANY (%(schemas)s)
 ORDER BY 1
"""


class Catalog:
    """Reads the catalog of one installation.

    Args:
        conn: A connection in a read-only transaction whose search path is ``pg_catalog``:
            then every other name comes qualified, whatever the user's settings are.
        names: The installation.
    """

    def __init__(self, conn: psycopg.Connection[Any], names: Names) -> None:
        self._conn = conn
        rows = conn.execute("SELECT nspname FROM pg_namespace ORDER BY 1").fetchall()
        self.schemas = [row[0] for row in rows if names.holds(row[0])]

    def functions(self) -> list[CatalogFunction]:
        """Return every function of the installation's schemas, ours or not."""
        with self._conn.cursor(row_factory=class_row(CatalogFunction)) as cursor:
            return cursor.execute(_FUNCTIONS, (self.schemas,)).fetchall()

    def grants(self) -> list[Grant]:
        """Return privileges on schemas, relations and columns that are not the owner's."""
        with self._conn.cursor(row_factory=class_row(Grant)) as cursor:
            return cursor.execute(_GRANTS, {"schemas": self.schemas}).fetchall()

    def owned(self) -> list[Owned]:
        """Return who owns each schema and relation."""
        with self._conn.cursor(row_factory=class_row(Owned)) as cursor:
            return cursor.execute(_OWNED, {"schemas": self.schemas}).fetchall()

    def members(self, names: Names) -> list[str]:
        """Return the group roles that are, against their purpose, members of the owner."""
        rows = self._conn.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)"
            "   AND pg_has_role(rolname, to_regrole(%s), 'MEMBER') ORDER BY 1",
            (list(names.groups), names.owner),
        )
        return [row[0] for row in rows.fetchall()]

    def type_names(self, written: set[str]) -> dict[str, str]:
        """Return PostgreSQL's name for each type as somebody wrote it; ``?`` for no type."""
        rows = self._conn.execute(
            "SELECT given, coalesce(format_type(to_regtype(given), NULL), '?')"
            "  FROM unnest(%s::text[]) AS given",
            (sorted(written),),
        )
        return dict(rows.fetchall())
