"""``arvo-plpg export``: history or dead letters as JSON lines."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.filters import add_dead_filters, dead_filters
from arvo_plpg.cli.options import add_command, add_noun, instant, positive
from arvo_plpg.cli.paper import document, json_line, say
from arvo_plpg.cli.progress import Progress
from arvo_plpg.cli.tree import plain_count
from arvo_plpg.errors import ArvoError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import DeadLetter, HistoryEntry

PAGE = 500


def add(subcommands: Subcommands) -> None:
    """Add the noun and its commands."""
    export = add_noun(
        subcommands,
        "export",
        summary="write history or dead letters as JSON lines",
        description="Page by page, so that it takes little memory and holds nobody up.",
        example="arvo-plpg export history --output history.jsonl",
    )
    history = add_command(
        export,
        "history",
        summary="write every delivery that is still kept, with its event",
        description="Every delivery of the log: event, queue, attempt, outcome, times, worker, "
        "cause; lane by lane, in each in order of acceptance. What is due later comes once it is "
        "due. What is accepted meanwhile may be in it or not.",
        example="arvo-plpg export history --queue com.example.order --since 24h > orders.jsonl",
        run=run_history,
    )
    history.add_argument("--queue", help="only of this queue")
    history.add_argument("--since", type=instant, metavar="TIME", help="accepted then or later")
    history.add_argument("--before", type=instant, metavar="TIME", help="accepted earlier")
    dead = add_command(
        export,
        "dead",
        summary="write dead letters, with event and error",
        description="Dead letters in the order of their numbers.",
        example="arvo-plpg export dead --resolved --output dead.jsonl --force",
        run=run_dead,
    )
    add_dead_filters(dead, numbers=False)
    dead.add_argument("--resolved", action="store_true", help="also those redriven or discarded")
    for parser in (history, dead):
        parser.add_argument(
            "--output", "-o", metavar="FILE", help="the file (default: standard output)"
        )
        parser.add_argument("--force", action="store_true", help="replace a file that exists")
        parser.add_argument("--limit", type=positive, metavar="N", help="at most so many lines")


def run_history(arguments: argparse.Namespace) -> int:
    """Run ``export history``."""
    with broker(arguments, "arvo-plpg export") as calls:
        read = partial(
            calls.history, arguments.queue, since=arguments.since, before=arguments.before
        )

        def after(row: HistoryEntry) -> str:
            return row.position

        return _write(arguments, read, after)


def run_dead(arguments: argparse.Namespace) -> int:
    """Run ``export dead``."""
    with broker(arguments, "arvo-plpg export") as calls:
        read = partial(calls.dead_letters, **dead_filters(arguments), resolved=arguments.resolved)

        def after(row: DeadLetter) -> int:
            return row.dead

        return _write(arguments, read, after)


def _write(
    arguments: argparse.Namespace,
    read: Callable[..., list[Any]],
    after: Callable[[Any], object],
) -> int:
    written = 0
    if arguments.output is None and arguments.json:
        arguments.parser.error("standard output is JSON lines anyway; --json goes with --output")
    with _opened(arguments) as stream, Progress("lines", arguments.limit) as progress:
        for row in _rows(read, after, arguments.limit):
            stream.write(json_line(row))
            written += 1
            progress.advance()
    if arguments.output is None:
        return 0
    if arguments.json:
        document({"file": arguments.output, "lines": written})
    else:
        say(f"{plain_count(written, 'line')} written to {arguments.output}")
    return 0


def _rows(
    read: Callable[..., list[Any]], after: Callable[[Any], object], most: int | None
) -> Iterator[Any]:
    position: object = None
    left = most
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = read(after=position, limit=size)
        yield from page
        if len(page) < size:
            return
        position = after(page[-1])
        left = None if left is None else left - len(page)


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[TextIO]:
    """Give standard output, or a file that is there whole when all has gone well, or not at all.

    It is written under another name beside its place, made for us alone, and never through a
    link. Without ``--force`` it takes its place only where there is nothing.
    """
    if arguments.output is None:
        yield sys.stdout
        return
    place = Path(arguments.output)
    if not place.name:
        raise _unwritable(arguments.output, ValueError("it names no file"))
    if not arguments.force and os.path.lexists(place):
        raise _exists(arguments.output)
    draft = place.with_name(f".{place.name}.{secrets.token_hex(6)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        if place.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        number_of_draft = os.open(draft, flags, 0o600)
    except (OSError, ValueError) as error:
        raise _unwritable(arguments.output, error) from error
    try:
        with os.fdopen(number_of_draft, "w", encoding="ascii", newline="\n") as stream:
            yield stream
        if arguments.force:
            draft.replace(place)
        else:
            os.link(draft, place)  # which, unlike a renaming, replaces nothing
    except FileExistsError:
        raise _exists(arguments.output) from None
    except OSError as error:
        raise _unwritable(arguments.output, error) from error
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _exists(name: str) -> ArvoError:
    return ArvoError(
        "the file exists", detail=name, hint="Name another one, or say --force to replace it."
    )


def _unwritable(name: str, error: OSError | ValueError) -> ArvoError:
    reason = getattr(error, "strerror", None) or str(error)
    return ArvoError("the file cannot be written", detail=f"{name}: {reason}")
