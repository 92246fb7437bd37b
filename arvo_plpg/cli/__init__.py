"""The command line: one module for each command or noun.

A command is a module with ``add(subcommands)``, which adds its parser and sets ``run`` on it:
a callable that takes the parsed arguments and returns the exit code. Add the module to
``COMMANDS`` and it is there.

Exit codes: 0 done or healthy, 1 failed, refused or a fault was found, 2 wrong usage, 130
interrupted.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, cast

from arvo_plpg.cli import (
    accept_cluster,
    completion,
    dead,
    demo,
    dispatch,
    doctor,
    explain,
    export,
    import_v1,
    intervene,
    migrate,
    purge,
    queues,
    rebase,
    rollback,
    sandbox,
    schedule,
    serve,
    stats,
    switch,
    top,
    trace,
    worker,
)
from arvo_plpg.cli.options import Parser
from arvo_plpg.cli.paper import json_line
from arvo_plpg.errors import ArvoError
from arvo_plpg.plain import plain_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

COMMANDS = (
    migrate,
    rollback,
    doctor,
    queues,
    stats,
    top,
    trace,
    explain,
    dispatch,
    dead,
    switch,
    purge,
    intervene,
    schedule,
    worker,
    serve,
    export,
    import_v1,
    rebase,
    accept_cluster,
    demo,
    sandbox,
    completion,
)
_INTERRUPTED = 130


def parser() -> Parser:
    """Return the parser of the whole command line."""
    made = Parser(
        prog="arvo-plpg",
        description="An event broker and workflow memory for Arvo, inside PostgreSQL.",
        epilog="Exit codes: 0 done or healthy, 1 failed, refused or a fault was found, "
        "2 wrong usage, 130 interrupted.",
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
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever called: nobody wants to hear it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding lacks is told as an escape
            stream.reconfigure(errors="backslashreplace")
    arguments = parser().parse_args(argv)
    run = cast("Callable[[argparse.Namespace], int]", arguments.run)
    try:
        code = run(arguments)
        sys.stdout.flush()
    except ArvoError as error:
        _tell(error, as_json=arguments.json)
        return 1
    except BrokenPipeError:
        _write_no_more()  # whoever read has enough, `head` say
        return 0
    except OSError as error:  # no space left for what is written, say
        _write_no_more()
        reason = error.strerror or type(error).__name__
        named = f"{error.filename}: {reason}" if error.filename else reason
        _tell(ArvoError("the system refused", detail=named), as_json=arguments.json)
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("arvo-plpg: interrupted\n")
        return _INTERRUPTED
    return code


def _write_no_more() -> None:
    """Have nothing more written to standard output when Python ends."""
    with contextlib.suppress(OSError, ValueError):  # not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(error: ArvoError, *, as_json: bool) -> None:
    """Tell what went wrong on standard error, in words or as one line of JSON."""
    if as_json:
        told = {
            "error": type(error).__name__,
            "sqlstate": error.sqlstate,
            "message": error.message,
            "detail": error.detail,
            "hint": error.hint,
            "field": error.field,
        }
        sys.stderr.write(json_line(told))
        return
    first, *more = plain_lines(str(error)).split("\n")
    sys.stderr.write("".join([f"arvo-plpg: {first}\n", *(f"  {line}\n" for line in more)]))
