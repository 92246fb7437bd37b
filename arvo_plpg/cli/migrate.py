"""``arvo-plpg migrate``: bring a database forward."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from arvo_plpg.cli.options import add_command, add_wait, dsn, migration_number
from arvo_plpg.cli.paper import document, say
from arvo_plpg.schema.runner import migrate, plan_migrate

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "migrate",
        summary="bring a database forward",
        description="Apply the migrations that the database lacks. Safe to run from any number "
        "of processes at once, and again after it was killed.",
        example="arvo-plpg migrate --dry-run\n"
        "arvo-plpg migrate --sql > plan.sql\n"
        "arvo-plpg migrate",
        run=run,
    )
    add_wait(parser)
    parser.add_argument(
        "--without-roles",
        action="store_true",
        help="a new installation gets no roles; everything belongs to the connected user",
    )
    parser.add_argument(
        "--after",
        action="store_true",
        help="also what may only run once the last client of the release before is gone",
    )
    parser.add_argument(
        "--to", type=migration_number, metavar="NNNN", help="last migration to apply"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--dry-run", action="store_true", help="only say what would run")
    output.add_argument("--sql", action="store_true", help="only print the SQL that would run")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.dry_run or arguments.sql:
        plan = plan_migrate(
            dsn(arguments),
            schema=arguments.schema,
            roles=not arguments.without_roles,
            after=arguments.after,
            to=arguments.to,
            sql_root=arguments.sql_root,
        )
        if arguments.sql:
            print_sql(arguments, plan.script)
        else:
            report(arguments, "would apply", plan.ids)
        return 0
    done = migrate(
        dsn(arguments),
        schema=arguments.schema,
        roles=not arguments.without_roles,
        after=arguments.after,
        to=arguments.to,
        wait=arguments.wait,
        sql_root=arguments.sql_root,
    )
    report(arguments, "applied", done)
    return 0


def report(arguments: argparse.Namespace, verb: str, ids: list[str]) -> None:
    """Print one line for each migration, or that there was none."""
    if arguments.json:
        document({verb.replace(" ", "_"): ids})
        return
    for name in ids:
        say(f"{verb} {name}")
    if not ids:
        say("nothing to do")


def print_sql(arguments: argparse.Namespace, script: str) -> None:
    """Print the script that would run."""
    if arguments.json:
        document({"sql": script})
    else:
        sys.stdout.write(script)
