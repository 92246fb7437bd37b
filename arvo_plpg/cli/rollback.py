"""``arvo-plpg rollback``: take a database back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.migrate import print_sql, report
from arvo_plpg.cli.options import add_command, add_wait, dsn, migration_number
from arvo_plpg.schema.runner import plan_rollback, rollback

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "rollback",
        summary="take a database back",
        description="Undo every migration above a number, newest first.",
        example="arvo-plpg rollback --to 3 --dry-run\narvo-plpg rollback --to 3",
        run=run,
    )
    add_wait(parser)
    parser.add_argument(
        "--to",
        type=migration_number,
        metavar="NNNN",
        required=True,
        help="last migration to keep; 0 undoes everything",
    )
    parser.add_argument(
        "--yes-lose-data",
        action="store_true",
        help="agree to losing what the undo files say they lose",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--dry-run", action="store_true", help="only say what would be undone")
    output.add_argument("--sql", action="store_true", help="only print the SQL that would run")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.dry_run or arguments.sql:
        plan = plan_rollback(
            dsn(arguments),
            to=arguments.to,
            schema=arguments.schema,
            sql_root=arguments.sql_root,
        )
        if arguments.sql:
            print_sql(arguments, plan.script)
        else:
            report(arguments, "would undo", plan.ids)
        return 0
    done = rollback(
        dsn(arguments),
        to=arguments.to,
        schema=arguments.schema,
        yes_lose_data=arguments.yes_lose_data,
        wait=arguments.wait,
        sql_root=arguments.sql_root,
    )
    report(arguments, "undid", done)
    return 0
