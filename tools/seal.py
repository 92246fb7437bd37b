"""The press: seals the function files into append-only migrations.

    python tools/seal.py new <slug> [--phase before|after] [--oldest-client N]
    python tools/seal.py record      add new migrations to SEALS (at merge)
    python tools/seal.py check       prove that files, migrations and seals agree

``sql/functions/<schema>/<name>.sql`` is what people read and edit.
``sql/migrations/NNNN.<phase>.<slug>.sql`` is what databases run: a sealed copy.
Table DDL of the same change is written by hand above the blocks, and its undo below them.
Until it is recorded, the newest migration may be deleted and pressed again; afterwards never.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from shape import shape_faults

from arvo_plpg.errors import ArvoError, SqlTreeBroken
from arvo_plpg.schema.blocks import block, blocks, fold
from arvo_plpg.schema.edition import Edition
from arvo_plpg.schema.function import read_function
from arvo_plpg.schema.lexer import statements
from arvo_plpg.schema.names import Names
from arvo_plpg.schema.seals import seal_lines, verify
from arvo_plpg.schema.tree import Migration, SqlTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")
_LATE = "SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks\n"
_AS_OWNER = "SET LOCAL ROLE arvo_owner;\n"
_INSERT = re.compile(
    r"INSERT INTO arvo\.revision \((?P<columns>[a-z_, ]+)\)\s+VALUES \((?P<values>.*)\)\s*;",
    re.DOTALL,
)

_UNDO_LAST = "DELETE FROM arvo.revision WHERE number = {};"
_DROP = re.compile(r"^DROP TABLE\s[^;]*\barvo\.revision\b", re.MULTILINE)


def new(
    tree: SqlTree, slug: str, *, phase: str = "before", oldest_client: int | None = None
) -> list[str]:
    """Write the next migration and its undo.

    Args:
        tree: The SQL files.
        slug: What it is for, in a few words with hyphens.
        phase: ``before`` the new code runs, or ``after`` the old code is gone.
        oldest_client: The oldest revision of a client that still works afterwards; as in the
            migration before when not given.

    Returns:
        Names of the functions that it seals; empty when none changed.

    Raises:
        SqlTreeBroken: The ground migration is missing, a function file is malformed, or the
            slug or an earlier migration is.
    """
    past = tree.migrations()
    if not past or not _SLUG.fullmatch(slug):
        raise SqlTreeBroken(
            "cannot press a migration",
            detail=f"slug {slug!r}, {len(past)} migrations so far",
            hint="0001 is written by hand; a slug has a-z, 0-9 and hyphens.",
        )
    verify(tree)
    was, now = fold(m.text for m in past), tree.functions()
    changed = [name for name in sorted(was | now) if was.get(name, "") != now.get(name, "")]
    faults = [f for name in changed if name in now for f in shape_faults(name, now[name])]
    if faults:
        raise SqlTreeBroken("function files are malformed", detail="\n".join(faults))
    number, oldest = len(past) + 1, oldest_client
    if oldest is None:
        oldest = _oldest_client(past[-1])
    stem = f"{number:04d}.{phase}.{slug}"
    up = [f"-- {slug}\n-- depends: {past[-1].id}\n\n{_AS_OWNER}{_LATE}"]
    up += [_step(name, was.get(name, ""), now.get(name, "")) for name in changed]
    up.append(
        "INSERT INTO arvo.revision (number, name, oldest_client, applied_at)\n"
        f"VALUES ({number}, '{stem}', {oldest}, clock_timestamp());\n"
    )
    down = [f"-- undo {slug}\n\n{_AS_OWNER}{_LATE}"]
    down += [_step(name, now.get(name, ""), was.get(name, "")) for name in reversed(changed)]
    down.append(_UNDO_LAST.format(number) + "\n")
    for suffix, parts in ((".sql", up), (".rollback.sql", down)):
        path = tree.migrations_dir / (stem + suffix)
        path.write_text("\n".join(parts), encoding="utf-8", newline="\n")
    return changed


def record(tree: SqlTree) -> list[str]:
    """Add what is not sealed yet to ``SEALS``; return the names of those files.

    Raises:
        SqlTreeBroken: The migrations are not fit to be sealed.
    """
    faults = list(_migration_faults(tree.shipped()))
    if faults:
        raise SqlTreeBroken("migrations are not fit to be sealed", detail="\n".join(faults))
    added = verify(tree)
    text = "".join(f"{line}\n" for line in seal_lines(tree))
    tree.seals_path.write_text(text, encoding="utf-8", newline="\n")
    return added


def check(tree: SqlTree, *, released: bool = False) -> list[str]:
    """Return every fault in the tree.

    Args:
        tree: The SQL files.
        released: Also ask that every migration is sealed.
    """
    try:
        migrations = tree.shipped()
        unsealed = verify(tree)
    except SqlTreeBroken as error:
        return [" ".join(str(error).split())]
    faults = [f"not sealed yet: {name}" for name in unsealed] if released else []
    now = tree.functions()
    was = fold(m.text for m in migrations)
    faults += [
        f"edited since it was sealed: {name} (press a migration)"
        for name in sorted(was | now)
        if was.get(name) != now.get(name)
    ]
    for name, text in now.items():
        faults += shape_faults(name, text)
    faults += _migration_faults(migrations)
    return faults


def _step(name: str, old: str, text: str) -> str:
    """Return the statements that take one function from its old text to its new one."""
    head = ""
    if old:
        before, after = read_function(old), read_function(text) if text else None
        if after is None or before.shape != after.shape:
            head = f"DROP FUNCTION {before.signature};\n"
        elif lost := sorted(before.grants - after.grants):
            # CREATE OR REPLACE keeps privileges; a statement for each, for editions
            head = "".join(
                f"REVOKE ALL ON FUNCTION {before.signature} FROM {role};\n" for role in lost
            )
    return head + block(name, text)


def _oldest_client(migration: Migration) -> int:
    found = _INSERT.search(migration.text)
    if found:
        columns = [column.strip() for column in found["columns"].split(",")]
        values = [value.strip() for value in found["values"].split(",")]
        if "oldest_client" in columns:
            return int(values[columns.index("oldest_client")])
    raise SqlTreeBroken(
        "migration does not write its row in arvo.revision",
        detail=migration.id,
        hint="Its last statement must be INSERT INTO arvo.revision (number, …) VALUES (…);",
    )


def _migration_faults(migrations: Sequence[Migration]) -> Iterator[str]:
    previous = None
    for migration in migrations:
        for fault in (*_up_faults(migration, previous), *_down_faults(migration)):
            yield f"{migration.id}: {fault}"
        previous = migration


def _up_faults(migration: Migration, previous: Migration | None) -> Iterator[str]:
    last = _last_statement(migration.text)
    found = _INSERT.fullmatch(last)
    number = found["values"].split(",")[0].strip() if found else ""
    if not found or not found["columns"].startswith("number") or number != str(migration.number):
        yield "its last statement must insert its number into arvo.revision"
    head = re.match(r"(?:--.*\n|\s*\n)*", migration.text)
    depends = re.findall(r"^-- depends: (.*)$", head[0] if head else "", re.MULTILINE)
    if depends != ([previous.id] if previous else []):
        yield "its leading comment must say which migration it depends on: the one before"
    outside = migration.text
    for name, text in blocks(migration.text):
        outside = outside.replace(block(name, text), "")
    if any("FUNCTION" in s.words[:4] and s.words[0] == "CREATE" for s in statements(outside)):
        yield "makes a function outside of a sealed block"
    yield from _edition_faults(migration.text)


def _down_faults(migration: Migration) -> Iterator[str]:
    last = _last_statement(migration.rollback_text)
    expected = _UNDO_LAST.format(migration.number)
    if migration.number == 1:
        if not _DROP.search(migration.rollback_text):
            yield "its undo must drop the table arvo.revision"
    elif last != expected:
        yield f"the last statement of its undo must be {expected}"
    yield from _edition_faults(migration.rollback_text)


def _edition_faults(text: str) -> Iterator[str]:
    if not text.startswith("--"):
        yield "must begin with a comment that says what it is for"
    if _AS_OWNER not in text:
        yield f"lacks {_AS_OWNER.strip()}"
    try:
        Edition(Names("other", roles=False)).text(text)
    except SqlTreeBroken as error:
        yield " ".join(str(error).split())


def _last_statement(text: str) -> str:
    found = [s for s in statements(text) if s.significant]
    return "".join(t.text for t in found[-1].tokens).strip() if found else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return 0, or 1 with the faults on standard error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--sql-root", type=Path, default=None, metavar="DIR")
    verbs = parser.add_subparsers(dest="verb", required=True)
    press = verbs.add_parser("new", help="write the next migration from the function files")
    press.add_argument("slug")
    press.add_argument("--phase", default="before", choices=["before", "after"])
    press.add_argument("--oldest-client", type=int, default=None, metavar="N")
    verbs.add_parser("record", help="add new migrations to SEALS")
    checks = verbs.add_parser("check", help="prove that files, migrations and seals agree")
    checks.add_argument("--released", action="store_true", help="nothing may be unsealed")
    arguments = parser.parse_args(argv)
    try:
        tree = SqlTree.find(arguments.sql_root)
        if arguments.verb == "new":
            found = new(
                tree,
                arguments.slug,
                phase=arguments.phase,
                oldest_client=arguments.oldest_client,
            )
            print(tree.migrations()[-1].id, *found, sep="\n  ")
        elif arguments.verb == "record":
            print(*(record(tree) or ["nothing to record"]), sep="\n")
        elif faults := check(tree, released=arguments.released):
            print(*faults, sep="\n", file=sys.stderr)
            return 1
        else:
            print("files, migrations and seals agree")
    except ArvoError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
