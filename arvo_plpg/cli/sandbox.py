"""``arvo-plpg sandbox``: an embedded server, migrated, for as long as the command runs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from arvo_plpg import embedded
from arvo_plpg.cli.options import add_command, schema_name
from arvo_plpg.cli.paper import document, say
from arvo_plpg.schema import migrate
from arvo_plpg.schema.names import ORIGIN

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from arvo_plpg.cli.options import Subcommands

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "sandbox",
        summary="start an embedded PostgreSQL, migrated, and run a command on it",
        description="Start an embedded PostgreSQL, migrate it, and run a command with DATABASE_URL "
        "set to it, or, without a command, print DATABASE_URL and wait for an interrupt. The "
        "server ends with this command (extra: embedded).",
        example="arvo-plpg sandbox -- python shop.py\narvo-plpg sandbox --data ./pg",
        run=run,
        database=False,
    )
    parser.add_argument(
        "--data", metavar="DIR", help="keep the data in this directory (default: throw it away)"
    )
    parser.add_argument(
        "--schema",
        type=schema_name,
        default=ORIGIN,
        metavar="NAME",
        help=f"name of the installation (default: {ORIGIN})",
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what to run, after --")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code is that of the command in it."""
    with _interruptible(), embedded.start(arguments.data) as server:
        migrate(server.uri, schema=arguments.schema)
        if arguments.command:
            return _with(server.uri, arguments.command)
        if arguments.json:
            document({"database_url": server.uri})
        else:
            say(f"export DATABASE_URL={shlex.quote(server.uri)}")
        sys.stdout.flush()
        sys.stderr.write("The server runs until this is interrupted.\n")
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0


def _with(dsn: str, command: Sequence[str]) -> int:
    """Run a command; its code as a shell gives it: 128 and the signal, when one ended it."""
    environment = os.environ | {"DATABASE_URL": dsn}
    try:
        child = subprocess.Popen(list(command), env=environment)  # noqa: S603 - the user's own
    except OSError as error:
        sys.stderr.write(f"arvo-plpg: {command[0]!a} cannot be run: {error.strerror}\n")
        return 127
    try:
        code = child.wait()
    except KeyboardInterrupt:
        child.terminate()
        code = child.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGTERM end the command as an interrupt does, and an interrupt do so everywhere.

    A shell starts what runs in its background with interrupts ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
