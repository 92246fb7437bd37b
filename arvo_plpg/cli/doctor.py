"""``arvo-plpg doctor``: prove that a database is what its migrations made it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from arvo_plpg.cli.options import add_database, dsn
from arvo_plpg.schema.doctor import doctor

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = subcommands.add_parser(
        "doctor",
        help="prove that a database is what its migrations made it",
        description="Compare functions, owners and privileges with the sealed migrations that "
        "this database has applied, then ask health() for warnings. Read-only. Exits with 1 if "
        "anything differs.",
    )
    add_database(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    report = doctor(dsn(arguments), schema=arguments.schema, sql_root=arguments.sql_root)
    if arguments.json:
        sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")
    else:
        for finding in report.findings:
            sys.stdout.write(f"{finding}\n")
        for warning in report.warnings:
            sys.stdout.write(f"warning: {warning}\n")
        for name in report.pending:
            sys.stdout.write(f"pending: {name}\n")
        state = "healthy" if report.healthy else f"{len(report.findings)} differences"
        sys.stdout.write(
            f"{report.schema}: revision {report.revision}, {report.functions} functions, {state}\n"
        )
    return 0 if report.healthy else 1
