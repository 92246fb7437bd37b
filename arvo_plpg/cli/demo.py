"""``arvo-plpg demo``: two workflows, a retry, a dead letter, and an event that waits."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from arvo_plpg import embedded
from arvo_plpg.cli.options import add_database
from arvo_plpg.demo.show import show
from arvo_plpg.schema import migrate
from arvo_plpg.schema.target import Target

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = subcommands.add_parser(
        "demo",
        help="run two example workflows and a few mishaps",
        description="Migrate a database, start three workers, run two workflows to their end and "
        "print their stories; then a handler that fails and recovers, a dead letter that is "
        "redriven, and an event that nobody handles. Without a database it starts an embedded "
        "PostgreSQL and removes it afterwards (extra: embedded).",
    )
    add_database(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    named = arguments.dsn or os.environ.get("DATABASE_URL")
    if named:
        target = Target.parse(named).conninfo
        parts = conninfo_to_dict(target)
        where = f"{parts.get('host') or 'local socket'}/{parts.get('dbname') or ''}"
        _say(f"Using the database {where}; what the demonstration writes stays there.")
        return _demonstrate(target, arguments.schema)
    _say("Starting an embedded PostgreSQL …")
    with embedded.start() as server:
        return _demonstrate(server.uri, arguments.schema)


def _demonstrate(dsn: str, schema: str) -> int:
    applied = migrate(dsn, schema=schema)
    _say(f"Migrated: {', '.join(applied) or 'nothing to do'}.\n")
    started = time.monotonic()
    asyncio.run(show(dsn, schema, _say))
    _say(f"Done in {time.monotonic() - started:.1f} s.")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
