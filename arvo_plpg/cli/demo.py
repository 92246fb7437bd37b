"""``arvo-plpg demo``: two workflows, a retry, a dead letter, and an event that waits."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from arvo_plpg import embedded
from arvo_plpg.cli.options import add_command
from arvo_plpg.cli.paper import document, say
from arvo_plpg.cli.tree import draw
from arvo_plpg.demo.show import show
from arvo_plpg.schema import migrate
from arvo_plpg.schema.target import Target

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import Step


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    add_command(
        subcommands,
        "demo",
        summary="run two example workflows and a few mishaps",
        description="Migrate a database, start three workers, run two workflows to their end and "
        "print their stories; then a handler that fails and recovers, a dead letter that is "
        "redriven, and an event that nobody handles. Without a database it starts an embedded "
        "PostgreSQL and removes it afterwards (extra: embedded).",
        example="arvo-plpg demo",
        run=run,
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    told: list[str] = []
    tell = told.append if arguments.json else _say
    story = partial(_list, told) if arguments.json else _draw
    began = time.monotonic()
    named = arguments.dsn or os.environ.get("DATABASE_URL")
    if named:
        target = Target.parse(named).conninfo
        parts = conninfo_to_dict(target)
        where = f"{parts.get('host') or 'local socket'}/{parts.get('dbname') or ''}"
        tell(f"Using the database {where}; what the demonstration writes stays there.")
        _demonstrate(target, arguments.schema, tell, story)
    else:
        tell("Starting an embedded PostgreSQL …")
        with embedded.start() as server:
            _demonstrate(server.uri, arguments.schema, tell, story)
    if arguments.json:
        document({"seconds": round(time.monotonic() - began, 3), "report": told})
    return 0


def _demonstrate(
    dsn: str,
    schema: str,
    tell: Callable[[str], None],
    story: Callable[[Sequence[Step]], None],
) -> None:
    applied = migrate(dsn, schema=schema)
    tell(f"Migrated: {', '.join(applied) or 'nothing to do'}.\n")
    started = time.monotonic()
    asyncio.run(show(dsn, schema, tell, story))
    tell(f"Done in {time.monotonic() - started:.1f} s.")


def _draw(steps: Sequence[Step]) -> None:
    room = shutil.get_terminal_size().columns - 2 if sys.stdout.isatty() else None
    for line in draw(steps, room):
        say("  ", *line)
    sys.stdout.flush()


def _list(told: list[str], steps: Sequence[Step]) -> None:
    told += ["  " + "".join(word.text for word in line) for line in draw(steps)]


def _say(line: str) -> None:
    for part in line.split("\n"):
        say(part)
    sys.stdout.flush()
