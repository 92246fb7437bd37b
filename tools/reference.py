"""Write docs/reference/sql.md and options.md: the contract and the options, as the code has them.

tools/reference.py write    migrates an embedded server and asks it

A function's place in sql.md is its signature, its comment, who may call it, and the card in its
body. Of options.md tells reference_options.py.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import reference_options

if TYPE_CHECKING:
    from collections.abc import Iterable

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
HEAD = """\
# The contract in SQL

Written by `tools/reference.py` from the catalogue of a migrated database: do not edit. Each
function with its signature, the roles that may call it, and its card, which is the first comment of
its body. [The client protocol](../client-protocol.md) says in which order a client calls them;
[the SQL](../../sql/README.md) explains rooms, locks and error codes.
"""
FUNCTIONS = """
SELECT proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
    obj_description(p.oid, 'pg_proc'), prosrc,
    ARRAY(
        SELECT rolname::text
        FROM aclexplode(proacl) JOIN pg_roles ON pg_roles.oid = grantee
        WHERE grantee <> proowner
        ORDER BY rolname
    )
FROM pg_proc AS p
WHERE pronamespace = 'arvo_v1'::regnamespace
ORDER BY proname
"""
WIDTH = 112


def page(connection: psycopg.Connection[Any]) -> str:
    """Give the whole page of the contract."""
    parts = [HEAD]
    for name, arguments, result, comment, source, roles in connection.execute(FUNCTIONS):
        parts += [
            f"## {name}\n",
            f"{_line(comment)} For {_list(f'`{role}`' for role in roles)}.\n",
            "```text",
            _signature(name, arguments, result),
            "",
            textwrap.indent(card(source), "    "),
            "```\n",
        ]
    return "\n".join(parts)


def card(source: str) -> str:
    """Give the first comment of a function's body, without its dashes."""
    lines = []
    for line in source.strip("\n").splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").removeprefix(" ").rstrip())
    return "\n".join(lines).strip("\n")


def _signature(name: str, arguments: str, result: str) -> str:
    plain = re.sub(r"::[a-z ]+(\[\])?", "", arguments).replace(
        "timestamp with time zone", "timestamptz"
    )
    result = result.replace("timestamp with time zone", "timestamptz")
    return "\n".join(
        textwrap.wrap(
            f"arvo_v1.{name}({plain}) → {result}",
            WIDTH,
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    )


def _line(text: str) -> str:
    return " ".join(text.split())


def _list(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def documents(connection: psycopg.Connection[Any]) -> dict[Path, str]:
    """Give the pages, each with its whole text."""
    return {
        REFERENCE / "sql.md": page(connection),
        REFERENCE / "options.md": reference_options.page(connection),
    }


def main() -> int:
    """Write the pages anew."""
    from arvo_plpg import embedded  # noqa: PLC0415 - the test that imports this has a server
    from arvo_plpg.schema import migrate  # noqa: PLC0415

    if sys.argv[1:] != ["write"]:
        print(__doc__)
        return 2
    with embedded.start() as server:
        migrate(server.uri)
        with psycopg.connect(server.uri) as connection:
            for document, text in documents(connection).items():
                document.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
