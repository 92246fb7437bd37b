"""``arvo-plpg dispatch``: events from a file or from standard input."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections import Counter
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import add_command, add_dry_run, json_object
from arvo_plpg.cli.paper import Column, Word, document, say, table
from arvo_plpg.cli.plain import number
from arvo_plpg.cli.progress import Progress
from arvo_plpg.cli.reading import Values, event_of
from arvo_plpg.cli.tree import plain_count
from arvo_plpg.errors import ArvoError, CopyInterrupted
from arvo_plpg.model_error import InvalidEventError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.rows import Dispatched
    from arvo_plpg.sync import Broker

COLUMNS = (
    Column("DELIVERY", right=True),
    Column("OUTCOME"),
    Column("QUEUE"),
    Column("EVENT", shrinks=True),
)
FEW = 100
"""So many events are told one by one; of more only their outcomes are counted."""


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "dispatch",
        summary="dispatch events from a file or standard input",
        description="One JSON object, one a line, or an array of them. What an event leaves out of "
        f"id, time and specversion is filled in. Up to {FEW} events are one transaction, all or "
        "none, and each is told; of more, each batch of 1,000 is one, and outcomes are counted. "
        "Given again, what is stored already is a duplicate.",
        example="arvo-plpg dispatch event.json\n"
        "gunzip -c events.jsonl.gz | arvo-plpg dispatch -\n"
        "arvo-plpg dispatch event.json --start-after '2 hours' --priority 9",
        run=run,
    )
    parser.add_argument(
        "file", nargs="?", default="-", help="file of JSON; - (default) is standard input"
    )
    parser.add_argument(
        "--start-after", metavar="WHEN", help="an interval ('2 hours') or a time (ISO 8601)"
    )
    parser.add_argument("--priority", type=int, metavar="N", help="higher is delivered first")
    parser.add_argument(
        "--options", type=json_object, metavar="JSON", help="further options of each dispatch"
    )
    parser.add_argument(
        "--ignore-domain", action="store_true", help="to its destination, whatever its domain"
    )
    add_dry_run(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with _opened(arguments.file) as stream, Progress("events") as progress:
        events = _events(stream, progress)
        if arguments.dry_run:
            told: list[Any] = []
            outcomes = {"valid": sum(1 for _ in events)}
        else:
            with broker(arguments, "arvo-plpg dispatch") as calls:
                outcomes, told = _dispatch(arguments, calls, events)
    _report(arguments, outcomes, told)
    return 0


def _events(stream: TextIO, progress: Progress) -> Iterator[ArvoEvent]:
    values = Values(stream)
    size = _size(stream)
    for ordinal, value in enumerate(values, start=1):
        try:
            event = event_of(value)
        except ArvoError as error:
            raise InvalidEventError(f"event {ordinal} is not valid", detail=str(error)) from error
        progress.advance(share=min(values.characters / size, 1.0) if size else None)
        yield event


def _dispatch(
    arguments: argparse.Namespace, calls: Broker, events: Iterator[ArvoEvent]
) -> tuple[dict[str, int], list[Any]]:
    first = list(islice(events, FEW + 1))
    options = _options(arguments)
    ignore = arguments.ignore_domain or None
    if len(first) <= FEW:
        told = calls.dispatch_many(first, ignore_domain=ignore, options=options) if first else []
        return dict(Counter(row.outcome for row in told)), told
    try:
        copied = calls.dispatch_copy(chain(first, events), ignore_domain=ignore, options=options)
    except CopyInterrupted as error:
        if isinstance(error.__cause__, InvalidEventError):
            raise InvalidEventError(
                error.__cause__.message,
                detail=error.__cause__.detail,
                hint=f"{number(error.stored)} events before it are stored. Correct it and give the "
                "file again: what is stored is a duplicate then.",
            ) from error
        raise
    return {row.outcome: row.events for row in copied}, []


def _options(arguments: argparse.Namespace) -> dict[str, Any] | None:
    given = dict(arguments.options or {})
    if arguments.start_after is not None:
        given["start_after"] = arguments.start_after
    if arguments.priority is not None:
        given["priority"] = arguments.priority
    return given or None


def _report(arguments: argparse.Namespace, outcomes: dict[str, int], told: list[Any]) -> None:
    whole = sum(outcomes.values())
    if arguments.json:
        document(
            {
                "dry_run": arguments.dry_run,
                "events": whole,
                "outcomes": {} if arguments.dry_run else outcomes,
                "dispatched": told,
            }
        )
    elif arguments.dry_run:
        say(f"{plain_count(whole, 'valid event')} would be dispatched")
    elif told:
        table(COLUMNS, map(_row, told))
    else:
        counts = ", ".join(f"{number(count)} {name}" for name, count in outcomes.items())
        say(f"{number(whole)} events: {counts}" if whole else "There were no events.")


def _row(row: Dispatched) -> list[str | Word]:
    return [
        "-" if row.delivery is None else str(row.delivery),
        Word(row.outcome, "good" if row.outcome == "queued" else "notice"),
        row.queue,
        Word(row.event_id, "quiet"),
    ]


@contextmanager
def _opened(named: str) -> Iterator[TextIO]:
    if named == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):  # JSON is UTF-8, whatever the terminal is
            sys.stdin.reconfigure(encoding="utf-8")
        yield sys.stdin
        return
    try:
        stream = Path(named).open(encoding="utf-8")  # noqa: SIM115 - below
    except OSError as error:
        raise ArvoError("the file cannot be read", detail=f"{named}: {error.strerror}") from error
    with stream:
        yield stream


def _size(stream: TextIO) -> int | None:
    """Return the size of a file in bytes, none for what has no end yet."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
