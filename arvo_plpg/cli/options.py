"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from arvo_plpg.errors import ArvoError
from arvo_plpg.schema.lock import WAIT
from arvo_plpg.schema.names import ORIGIN, Names

if TYPE_CHECKING:
    Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def add_database(parser: argparse.ArgumentParser) -> None:
    """Add ``--dsn``, ``--schema`` and ``--sql-root``.

    ``--dsn`` has no default, so that help never shows the password in ``DATABASE_URL``.
    """
    parser.add_argument(
        "--dsn",
        help="connection string, postgresql://… or key=value (default: $DATABASE_URL)",
    )
    parser.add_argument(
        "--schema",
        type=schema_name,
        default=ORIGIN,
        metavar="NAME",
        help=f"name of the installation (default: {ORIGIN})",
    )
    parser.add_argument(
        "--sql-root", type=Path, default=None, metavar="DIR", help=argparse.SUPPRESS
    )
    parser.set_defaults(parser=parser)


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add ``--wait``."""
    parser.add_argument(
        "--wait",
        type=float,
        default=WAIT,
        metavar="SECONDS",
        help="how long to wait for another run (default: %(default)g)",
    )


def schema_name(text: str) -> str:
    """Check a schema name on the way in, so that a wrong one is wrong usage."""
    try:
        return Names(text).schema
    except ArvoError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def migration_number(text: str) -> int:
    """Read ``0007`` or ``7``."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a migration")
    return int(text)


def dsn(arguments: argparse.Namespace) -> str:
    """Return the connection string, or leave with a usage error."""
    found = arguments.dsn or os.environ.get("DATABASE_URL")
    if not found:
        arguments.parser.error("no database: give --dsn or set DATABASE_URL")
    return str(found)
