"""The command line: one module for each command.

A command is a module with ``add(subcommands)``, which adds its parser and sets ``run`` on it:
a callable that takes the parsed arguments and returns the exit code. Add the module to
``COMMANDS`` and it is there.

Exit codes: 0 done or healthy, 1 failed or a fault was found, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, cast

from arvo_plpg.cli import accept_cluster, demo, doctor, migrate, rebase, rollback, serve
from arvo_plpg.errors import ArvoError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS = (migrate, rollback, doctor, rebase, accept_cluster, demo, serve)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    made = argparse.ArgumentParser(
        prog="arvo-plpg",
        description="An event broker and workflow memory for Arvo, inside PostgreSQL.",
        epilog="Exit codes: 0 done or healthy, 1 failed or a fault was found, 2 wrong usage.",
    )
    subcommands = made.add_subparsers(title="commands", required=True, metavar="command")
    for command in COMMANDS:
        command.add(subcommands)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; those of the process when None.

    Returns:
        The exit code.
    """
    arguments = parser().parse_args(argv)
    run = cast("Callable[[argparse.Namespace], int]", arguments.run)
    try:
        return run(arguments)
    except ArvoError as error:
        sys.stderr.write(f"arvo-plpg: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("arvo-plpg: interrupted\n")
        return 1
