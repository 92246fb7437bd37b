"""``arvo-plpg cancel``, ``retry`` and ``move``: what is to become of deliveries that wait.

First it is found out which ones are meant; then these are dealt with, by number, so that what was
shown and agreed to is what is done.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.filters import add_delivery_filters, delivery_filters, told_nothing
from arvo_plpg.cli.options import add_command, add_dry_run, add_yes, agreed
from arvo_plpg.cli.paper import Column, Word, document, say, table
from arvo_plpg.cli.progress import Progress
from arvo_plpg.cli.tree import plain_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import Intervention
    from arvo_plpg.sync import Broker

BATCH = 200
COLUMNS = (
    Column("DELIVERY", right=True),
    Column("QUEUE"),
    Column("PLACE"),
    Column("DONE"),
    Column("NOW", right=True),
    Column("EVENT", shrinks=True),
)


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    cancel = add_command(
        subcommands,
        "cancel",
        summary="end deliveries without running them",
        description="Cancel deliveries by number, or all that filters find, wherever they are; "
        "what a worker holds is left alone unless --include-running is given. Asks first.",
        example="arvo-plpg cancel 42 43\n"
        "arvo-plpg cancel --queue com.example.mail --before 2h --dry-run\n"
        "arvo-plpg cancel --tree order/42 --reason 'ordered twice' --yes",
        run=run_cancel,
    )
    add_delivery_filters(cancel)
    cancel.add_argument("--include-running", action="store_true", help="also what a worker holds")
    cancel.add_argument("--reason", help="why; it stands in the audit")
    add_yes(cancel)
    retry = add_command(
        subcommands,
        "retry",
        summary="make deliveries due now that wait for their time",
        description="Make deferred deliveries due now: a retry's delay, a start_after, a snooze.",
        example="arvo-plpg retry 42\narvo-plpg retry --queue com.example.mail",
        run=run_retry,
    )
    add_delivery_filters(retry)
    add_dry_run(retry)
    move = add_command(
        subcommands,
        "move",
        summary="let another queue have deliveries that wait",
        description="Move waiting deliveries to another queue, where they begin with attempt 1.",
        example="arvo-plpg move --to com.example.slow --queue com.example.mail --text newsletter",
        run=run_move,
    )
    move.add_argument("--to", required=True, metavar="QUEUE", help="the other queue")
    add_delivery_filters(move)
    add_dry_run(move)


def run_cancel(arguments: argparse.Namespace) -> int:
    """Run ``cancel``."""
    with broker(arguments, "arvo-plpg cancel") as calls:
        more = {"include_running": arguments.include_running, "reason": arguments.reason}
        return _intervene(arguments, calls, partial(calls.cancel, **more), "Cancel")


def run_retry(arguments: argparse.Namespace) -> int:
    """Run ``retry``."""
    with broker(arguments, "arvo-plpg retry") as calls:
        return _intervene(arguments, calls, calls.retry_now)


def run_move(arguments: argparse.Namespace) -> int:
    """Run ``move``."""
    with broker(arguments, "arvo-plpg move") as calls:
        return _intervene(arguments, calls, partial(calls.move, arguments.to))


def _intervene(
    arguments: argparse.Namespace,
    calls: Broker,  # noqa: ARG001 - open as long as this runs
    call: Callable[..., list[Intervention]],
    question: str | None = None,
) -> int:
    given = delivery_filters(arguments)
    if told_nothing(given):
        arguments.parser.error("say which deliveries: give numbers or a filter")
    found = call(**given, limit=arguments.limit, dry_run=True)
    if arguments.dry_run or not found:
        return _report(arguments, found, dry_run=arguments.dry_run)
    if question is not None:
        what = plain_count(len(found), "delivery", "deliveries")
        if not arguments.json and not arguments.yes:
            _print(found[:20])
        if not agreed(arguments, f"{question} {what}?"):
            return 1
    return _report(arguments, _apply(call, given, found), dry_run=False)


def _apply(
    call: Callable[..., list[Intervention]], given: dict[str, Any], found: list[Intervention]
) -> list[Intervention]:
    done: list[Intervention] = []
    with Progress("deliveries", len(found)) as progress:
        for start in range(0, len(found), BATCH):
            numbers = [one.delivery for one in found[start : start + BATCH]]
            done += call(**{**given, "delivery": numbers}, limit=len(numbers))
            progress.advance(len(numbers))
    return done


def _report(arguments: argparse.Namespace, rows: list[Intervention], *, dry_run: bool) -> int:
    whole = len(rows) < arguments.limit
    if arguments.json:
        document({"dry_run": dry_run, "whole": whole, "deliveries": rows})
        return 0
    if rows:
        _print(rows)
    else:
        say(Word("There is nothing that fits.", "quiet"))
    if not whole:
        sys.stderr.write("There may be more: the limit is reached.\n")
    return 0


def _print(rows: list[Intervention]) -> None:
    table(
        COLUMNS,
        [
            [
                str(row.delivery),
                row.queue,
                row.place,
                Word(row.done, "strong"),
                "" if row.successor is None else str(row.successor),
                Word(row.event_id, "quiet"),
            ]
            for row in rows
        ],
    )
