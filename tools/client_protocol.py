"""Write the signatures of the contract into docs/client-protocol.md, as the catalogue has them.

tools/client_protocol.py write    migrates an embedded server and asks it
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "client-protocol.md"
BEGIN, END = "<!-- {}: written by tools/client_protocol.py -->", "<!-- end of {} -->"

FUNCTIONS = """
SELECT proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
    obj_description(p.oid, 'pg_proc'),
    ARRAY(
        SELECT replace(rolname, 'arvo_', '')
        FROM aclexplode(proacl) JOIN pg_roles ON pg_roles.oid = grantee
        WHERE grantee <> proowner
        ORDER BY rolname
    )
FROM pg_proc AS p
WHERE pronamespace = 'arvo_v1'::regnamespace
ORDER BY proname
"""
ROWS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    coalesce(col_description(named.attrelid, named.attnum), col_description(c.oid, a.attnum))
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attribute AS named
    ON named.attname = a.attname
    AND named.attrelid = to_regclass(substring(col_description(c.oid, a.attnum), '^As in (.*)[.]$'))
WHERE c.relnamespace = 'arvo_v1'::regnamespace AND c.relkind = 'c'
ORDER BY c.relname, a.attnum
"""
"""A column that is commented "As in TABLE." has the comment of that table's."""
NEEDED = (
    *("about", "queue", "dispatched", "claimed", "settled", "worked", "extended", "state", "lock"),
    "maintained",
)
"""Row types that every client meets; the others are a line each."""


def signatures(connection: psycopg.Connection[Any]) -> str:
    """Every function: its signature, who may call it, what it does."""
    lines = ["```"]
    for name, arguments, result, comment, roles in connection.execute(FUNCTIONS):
        plain = re.sub(r"::[a-z ]+(\[\])?", "", arguments)
        lines += _wrapped(f"{name}({plain}) → {result}")
        lines += [f"    {' '.join(comment.split())} [{', '.join(roles)}]"]
    return "\n".join([*lines, "```"])


def rows(connection: psycopg.Connection[Any]) -> str:
    """Every row type: its columns in order, and what those mean that every client meets."""
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for name, *column in connection.execute(ROWS):
        columns.setdefault(name, []).append((column[0], _short(column[1]), column[2]))
    lines = []
    for name in NEEDED:
        lines += [f"**`{name}`**", "", "| column | type | |", "|---|---|---|"]
        lines += [f"| `{one}` | {kind} | {text} |" for one, kind, text in columns[name]]
        lines += [""]
    lines += ["The other row types:", "", "```"]
    for name in sorted(columns.keys() - set(NEEDED)):
        lines += _wrapped(f"{name}({', '.join(f'{c} {kind}' for c, kind, _ in columns[name])})")
    return "\n".join([*lines, "```"])


def _short(kind: str) -> str:
    return kind.replace("timestamp with time zone", "timestamptz")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(_short(text), 118, subsequent_indent="    ", break_on_hyphens=False)


def parts(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, str]]:
    """Give the parts of the document that follow from the catalogue, by name."""
    yield "signatures", signatures(connection)
    yield "rows", rows(connection)


def current(document: str, name: str) -> str:
    """Give what the document has for a part.

    Raises:
        ValueError: the document has no such part.
    """
    begin, end = BEGIN.format(name), END.format(name)
    _, found, rest = document.partition(f"{begin}\n")
    if not found or f"\n{end}" not in rest:
        raise ValueError(f"{DOCUMENT.name} has no part {name}")
    return rest[: rest.index(f"\n{end}")]


def main() -> int:
    """Write the parts anew."""
    from arvo_plpg import embedded  # noqa: PLC0415 - the test that imports this has a server
    from arvo_plpg.schema import migrate  # noqa: PLC0415

    if sys.argv[1:] != ["write"]:
        print(__doc__)
        return 2
    document = DOCUMENT.read_text(encoding="utf-8")
    with embedded.start() as server:
        migrate(server.uri)
        with psycopg.connect(server.uri) as connection:
            for name, text in parts(connection):
                begin = f"{BEGIN.format(name)}\n"
                document = document.replace(begin + current(document, name), begin + text)
    DOCUMENT.write_text(document, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
