"""Options that several commands share, and how a command is added."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from arvo_plpg.cli.plain import without_passwords
from arvo_plpg.errors import ArvoError
from arvo_plpg.plain import plain_lines
from arvo_plpg.schema.lock import WAIT
from arvo_plpg.schema.names import ORIGIN, Names

if TYPE_CHECKING:
    from collections.abc import Callable

    Subcommands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LONGEST_SLEEP_SECONDS = 86400.0 * 365
"""Nobody waits longer for the next look; the system's clock could not."""

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


class _Form(argparse.HelpFormatter):
    """Help that leaves the lines of an example as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example"):
            return text
        return super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """A parser that never repeats a password, and no control character either."""

    def error(self, message: str) -> NoReturn:
        """Leave with code 2, usage and message on standard error."""
        super().error(plain_lines(without_passwords(message)))


def add_command(
    subcommands: Subcommands,
    name: str,
    *,
    summary: str,
    description: str,
    example: str,
    run: Callable[[argparse.Namespace], int] | None,
    database: bool = True,
) -> Parser:
    """Add a command, with ``--json`` and how to find the database.

    Args:
        subcommands: where.
        name: what it is called.
        summary: one phrase, for the list of commands.
        description: one paragraph.
        example: command lines, one a line, without the prompt.
        run: takes the parsed arguments and gives the exit code; None for a noun that has commands
            of its own.
        database: whether it needs one.

    Returns:
        The parser, for the command's own arguments.
    """
    lines = example.strip().splitlines()
    title = "example" if len(lines) == 1 else "examples"
    parser = subcommands.add_parser(
        name,
        help=summary,
        description=description,
        epilog="\n".join([f"{title}:", *(f"  {line}" for line in lines)]),
        formatter_class=_Form,
    )
    parser.set_defaults(parser=parser)
    if run is not None:
        parser.set_defaults(run=run)
        if database:
            add_database(parser)
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parser


def add_noun(
    subcommands: Subcommands, name: str, *, summary: str, description: str, example: str
) -> Subcommands:
    """Add a noun, such as ``dead``, and return where its commands go."""
    parser = add_command(
        subcommands, name, summary=summary, description=description, example=example, run=None
    )
    return parser.add_subparsers(title="commands", required=True, metavar="command")


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


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add ``--dry-run``."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add ``--dry-run`` and ``--yes``."""
    add_dry_run(parser)
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def schema_name(text: str) -> str:
    """Check a schema name on the way in, so that a wrong one is wrong usage."""
    try:
        return Names(text).schema
    except ArvoError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def port(text: str) -> int:
    """Read the number of a port."""
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 65535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def migration_number(text: str) -> int:
    """Read ``0007`` or ``7``."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a migration")
    return int(text)


def positive(text: str) -> int:
    """Read a count of one or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def duration(text: str) -> timedelta:
    """Read a duration: ``90s``, ``5m``, ``1h30m``, ``2d``; a bare number is seconds."""
    found = _SPAN.findall(text)
    try:
        if text and "".join(map("".join, found)) == text:
            return timedelta(seconds=sum(float(count) * _UNITS[unit] for count, unit in found))
        return timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration, such as 90s, 5m, 1h30m or 2d"
        ) from None


def instant(text: str) -> datetime:
    """Read a time: ISO 8601 (in this computer's zone when it names none), or how long ago."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        try:
            return datetime.now(UTC) - duration(text)
        except (argparse.ArgumentTypeError, OverflowError):
            raise argparse.ArgumentTypeError(
                f"{text!r} is no time, such as 2030-01-31T12:00, nor how long ago, such as 2h"
            ) from None
    return read.astimezone()


def dsn(arguments: argparse.Namespace) -> str:
    """Return the connection string, or leave with a usage error."""
    found = arguments.dsn or os.environ.get("DATABASE_URL")
    if not found:
        arguments.parser.error("no database: give --dsn or set DATABASE_URL")
    return str(found)


def agreed(arguments: argparse.Namespace, question: str) -> bool:
    """Ask whether to go on, unless ``--yes`` was given. Without a terminal nobody can be asked.

    Args:
        arguments: with ``yes``.
        question: what would be done, as a question.

    Returns:
        Whether to go on; a refusal has been told.
    """
    if arguments.yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        sys.stderr.write(f"arvo-plpg: {question}\nNobody is there to be asked: say --yes.\n")
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    sys.stderr.write("Nothing has been done.\n")
    return False


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not JSON: {str(error)[:80]}") from None
    if not isinstance(read, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return read
