"""``arvo-plpg import-v1``: take over the memory of the TypeScript package."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from arvo_plpg.cli.options import add_command, dsn, positive
from arvo_plpg.cli.paper import document, say
from arvo_plpg.cli.progress import Progress
from arvo_plpg.import_v1 import MOST_PER_BATCH, import_v1
from arvo_plpg.plain import plain
from arvo_plpg.schema.seed_tables import SeedTables

if TYPE_CHECKING:
    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.import_v1 import ImportReport


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "import-v1",
        summary="take over the memory of @arvo-tools/postgres",
        description="Take over states, tree and locks of a running TypeScript deployment from its "
        "three tables, which are only read. Safe to run again: what went on there since is taken, "
        "what has gone on here is left alone. Exits with 1 if anything was refused.",
        example="arvo-plpg import-v1 --dry-run\narvo-plpg import-v1 --from-dsn postgresql://old/app",
        run=run,
    )
    parser.add_argument(
        "--from-dsn", metavar="DSN", help="the database of the tables (default: the same)"
    )
    known = SeedTables()
    parser.add_argument(
        "--from-schema", metavar="NAME", help="schema of the tables (default: by search_path)"
    )
    for table in ("state", "lock", "hierarchy"):
        parser.add_argument(
            f"--{table}-table",
            metavar="NAME",
            default=getattr(known, table),
            help="name of the table (default: %(default)s)",
        )
    parser.add_argument(
        "--time-zone",
        metavar="NAME",
        help="time zone of the TypeScript processes' sessions: the tables keep times without one "
        "(default: that of the connection)",
    )
    parser.add_argument(
        "--locked",
        choices=("refuse", "carry", "ignore"),
        default="refuse",
        help="what to do with a workflow that is locked: refuse it (and take it in the next run), "
        "take it and carry the lock, or ignore the lock (default: %(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--batch",
        type=_batch,
        default=200,
        metavar="N",
        help="workflows per transaction (default: %(default)s)",
    )
    parser.add_argument(
        "--report",
        type=_number,
        default=100,
        metavar="N",
        help="list so many of those that were refused (default: %(default)s); all are counted",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with Progress("workflows") as progress:
        report = import_v1(
            dsn(arguments),
            from_dsn=arguments.from_dsn,
            tables=SeedTables(
                schema=arguments.from_schema,
                state=arguments.state_table,
                lock=arguments.lock_table,
                hierarchy=arguments.hierarchy_table,
                time_zone=arguments.time_zone,
            ),
            schema=arguments.schema,
            locked=arguments.locked,
            dry_run=arguments.dry_run,
            batch=arguments.batch,
            most_refusals=arguments.report,
            progress=lambda so_far: progress.advance(so_far.read - progress.done),
            sql_root=arguments.sql_root,
        )
    if arguments.json:
        document(report.as_dict())
    else:
        _write(report)
    return 1 if report.refused else 0


def _write(report: ImportReport) -> None:
    would = "would be " if report.dry_run else ""
    say(
        f"read {report.read}: {would}taken {report.taken}, {would}updated {report.updated}, "
        f"{would}placed {report.placed}, present {report.present}, refused {report.refused}"
    )
    for code, times in sorted(report.reasons.items()):
        say(f"refused as {plain(code)}: {times}")
    for one in report.refusals:
        say(f"{json.dumps(one.subject)}: {plain(one.detail)}")
    if len(report.refusals) < report.refused:
        say(f"and {report.refused - len(report.refusals)} more")


def _batch(text: str) -> int:
    number = positive(text)
    if number > MOST_PER_BATCH:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and {MOST_PER_BATCH}")
    return number


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)
