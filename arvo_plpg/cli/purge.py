"""``arvo-plpg purge``, ``recreate`` and ``drop``: emptying a queue, and taking it away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import add_command, add_yes, agreed
from arvo_plpg.cli.paper import Column, Word, document, say, table
from arvo_plpg.cli.plain import number
from arvo_plpg.cli.progress import Progress
from arvo_plpg.cli.tree import plain_count

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import Purged
    from arvo_plpg.sync import Broker

BATCH = 2000
COLUMNS = (Column("PLACE"), Column("REMOVED", right=True), Column("KEPT", right=True))


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    for name, summary, description, run in (
        (
            "purge",
            "cancel everything in a queue that nobody holds",
            (
                "Cancel everything in a queue that is not leased: what waits and what is due "
                "later. Batch by batch, so that others are not held up. Asks first."
            ),
            run_purge,
        ),
        (
            "recreate",
            "empty a queue and set its options back",
            (
                "Cancel what is not leased and set the queue's options back to their defaults, "
                "in one transaction. Asks first."
            ),
            run_recreate,
        ),
        (
            "drop",
            "unregister a queue",
            (
                "Unregister a queue and set its options back; its history stays. One that is not "
                "empty is refused unless --purge is given. Asks first."
            ),
            run_drop,
        ),
    ):
        parser = add_command(
            subcommands,
            name,
            summary=summary,
            description=description,
            example=f"arvo-plpg {name} com.example.order --dry-run\n"
            f"arvo-plpg {name} com.example.order --yes",
            run=run,
        )
        parser.add_argument("queue", help="the queue")
        if name == "drop":
            parser.add_argument("--purge", action="store_true", help="cancel what is in it first")
        add_yes(parser)


def run_purge(arguments: argparse.Namespace) -> int:
    """Run ``purge``."""
    with broker(arguments, "arvo-plpg purge") as calls:
        found = calls.purge_queue(arguments.queue, dry_run=True)
        if arguments.dry_run:
            return _report(arguments, found, dry_run=True)
        waiting = sum(row.removed for row in found)
        if not agreed(arguments, _question("Cancel", waiting, arguments.queue)):
            return 1
        return _report(arguments, _purge(calls, arguments.queue, waiting), dry_run=False)


def run_recreate(arguments: argparse.Namespace) -> int:
    """Run ``recreate``."""
    with broker(arguments, "arvo-plpg recreate") as calls:
        found = calls.recreate_queue(arguments.queue, dry_run=True)
        if arguments.dry_run:
            return _report(arguments, found, dry_run=True)
        waiting = sum(row.removed for row in found)
        question = _question("Set all options back and cancel", waiting, arguments.queue)
        if not agreed(arguments, question):
            return 1
        return _report(arguments, calls.recreate_queue(arguments.queue), dry_run=False)


def run_drop(arguments: argparse.Namespace) -> int:
    """Run ``drop``."""
    with broker(arguments, "arvo-plpg drop") as calls:
        found = calls.drop_queue(arguments.queue, purge=arguments.purge, dry_run=True)
        if arguments.dry_run:
            return _report(arguments, found, dry_run=True)
        waiting = sum(row.removed for row in found)
        if not agreed(arguments, _question("Unregister it and cancel", waiting, arguments.queue)):
            return 1
        done = calls.drop_queue(arguments.queue, purge=arguments.purge)
        return _report(arguments, done, dry_run=False)


def _question(what: str, waiting: int, queue: str) -> str:
    return f"{what} {plain_count(waiting, 'delivery', 'deliveries')} in {Word(queue).text}?"


def _purge(calls: Broker, queue: str, waiting: int) -> list[Purged]:
    """Purge batch by batch; what arrives meanwhile need not be reached."""
    sums: dict[str, Purged] = {}
    removed = 0
    with Progress("deliveries", waiting) as progress:
        while True:
            batch = calls.purge_queue(queue, limit=BATCH)
            for row in batch:
                before = sums[row.place].removed if row.place in sums else 0
                sums[row.place] = type(row)(row.place, before + row.removed, row.kept)
            gone = sum(row.removed for row in batch)
            removed += gone
            progress.advance(gone)
            if not gone or removed >= waiting or all(row.kept is not None for row in batch):
                return list(sums.values())


def _report(arguments: argparse.Namespace, rows: list[Purged], *, dry_run: bool) -> int:
    if arguments.json:
        document({"dry_run": dry_run, "queue": arguments.queue, "places": rows})
        return 0
    if dry_run:
        say(Word("This would be done:", "quiet"))
    table(COLUMNS, [[row.place, number(row.removed), number(row.kept)] for row in rows])
    return 0
