"""SeedTables: the three tables of the TypeScript package's memory, as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from arvo_plpg.errors import SchemaMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

_COLUMNS = {
    "state": (
        *("subject", "data", "version", "execution_status", "parent_subject", "initiator"),
        *("source", "created_at", "updated_at"),
    ),
    "lock": ("subject", "expires_at"),
    "hierarchy": ("subject", "parent_subject", "root_subject"),
}
_FOUND = """
SELECT array_agg(attname::text)
FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""
_PAGE = """
WITH clock AS MATERIALIZED (
    SELECT coalesce(%(zone)s::text, current_setting('TimeZone')) AS zone, now() AS moment
),

page AS (
    SELECT listed.subject
    FROM (
        (
            SELECT subject
            FROM {state}
            WHERE subject {after} %(after)s
            ORDER BY subject
            LIMIT %(size)s
        )
        UNION
        (
            SELECT subject
            FROM {hierarchy}
            WHERE subject {after} %(after)s
            ORDER BY subject
            LIMIT %(size)s
        )
        UNION
        (
            SELECT subject
            FROM {lock}
            CROSS JOIN clock
            WHERE subject {after} %(after)s AND expires_at AT TIME ZONE clock.zone > clock.moment
            ORDER BY subject
            LIMIT %(size)s
        )
    ) AS listed
    ORDER BY listed.subject
    LIMIT %(size)s
)

SELECT
    page.subject,
    jsonb_build_object(
        'subject', page.subject,
        'data', state.data,
        'version', state.version,
        'execution_status', state.execution_status,
        'initiator', state.initiator,
        'source', state.source,
        'parent_subject', coalesce(state.parent_subject, place.parent_subject),
        'root_subject', place.root_subject,
        'parent_is_known', coalesce(state.parent_subject, place.parent_subject) IS NULL OR EXISTS (
            SELECT
            FROM {hierarchy} AS above
            WHERE above.subject = coalesce(state.parent_subject, place.parent_subject)
        ),
        'created_at', state.created_at AT TIME ZONE clock.zone,
        'updated_at', state.updated_at AT TIME ZONE clock.zone,
        'locked_for', CASE
            WHEN held.expires_at AT TIME ZONE clock.zone > clock.moment
                THEN extract(epoch FROM held.expires_at AT TIME ZONE clock.zone - clock.moment)
        END
    )
FROM page
CROSS JOIN clock
LEFT JOIN {state} AS state ON state.subject = page.subject
LEFT JOIN {hierarchy} AS place ON place.subject = page.subject
LEFT JOIN {lock} AS held ON held.subject = page.subject
ORDER BY page.subject
"""


@dataclass(frozen=True, slots=True)
class SeedTables:
    """Where the TypeScript package keeps its memory.

    Attributes:
        schema: the schema of the tables; None: where the connection's search_path finds them.
        state: name of the table of states.
        lock: name of the table of locks.
        hierarchy: name of the table of the tree.
        time_zone: the time zone that the TypeScript processes' sessions ran in: its times are kept
            without one. None: that of the connection they are read on.
    """

    schema: str | None = None
    state: str = "arvopg_mm_state"
    lock: str = "arvopg_mm_lock"
    hierarchy: str = "arvopg_mm_hierarchy"
    time_zone: str | None = None

    def check(self, connection: psycopg.Connection[Any]) -> None:
        """Check that the tables are there, with the columns that are read.

        Raises:
            SchemaMissing: a table or a column is not.
        """
        for table, columns in _COLUMNS.items():
            name: str = getattr(self, table)
            row = connection.execute(_FOUND, [self._named(name).as_string(connection)]).fetchone()
            found = row[0] if row else None
            if not found:
                raise SchemaMissing(
                    f"Table '{name}' does not exist.",
                    detail=f"schema: {self.schema or 'by search_path'}",
                    hint="Name the tables and their schema as the TypeScript processes do.",
                )
            missing = [column for column in columns if column not in found]
            if missing:
                raise SchemaMissing(
                    f"Table '{name}' structure validation failed.",
                    detail=f"it has no column {', '.join(missing)}",
                    hint="It must be a table of @arvo-tools/postgres, version 1.",
                )

    def pages(self, connection: psycopg.Connection[Any], size: int) -> Iterator[list[Any]]:
        """Read the tables in order of subjects, each page by a statement of its own.

        Args:
            connection: where they are, in autocommit mode.
            size: subjects per page.
        """
        names = {table: self._named(getattr(self, table), "%%") for table in _COLUMNS}
        after, operator = "", ">="
        while True:
            query = sql.SQL(_PAGE).format(after=sql.SQL(operator), **names)
            found = connection.execute(
                query, {"after": after, "size": size, "zone": self.time_zone}
            ).fetchall()
            if not found:
                return
            yield [row for _, row in found]
            after, operator = found[-1][0], ">"

    def _named(self, table: str, percent: str = "%") -> sql.Identifier:
        """Quote a name; a query with arguments has its percent signs doubled."""
        place = [self.schema, table] if self.schema else [table]
        return sql.Identifier(*(name.replace("%", percent) for name in place))
