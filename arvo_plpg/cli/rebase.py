"""``arvo-plpg rebase``: take over a restored dump."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import add_command
from arvo_plpg.cli.paper import as_plain, document, say
from arvo_plpg.cli.takeover import add_agreement, refuse

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import Rebased


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "rebase",
        summary="take over a dump that was restored into another cluster",
        description="Make the transaction numbers of a restored dump meaningful in this cluster, "
        "so that what waits in its queues goes on here. At home there is nothing to do.",
        example="arvo-plpg rebase --dry-run\narvo-plpg rebase --yes-take-over",
        run=run,
    )
    add_agreement(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say what would be done; costs as much as doing it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with broker(arguments, "arvo-plpg rebase") as calls:
        if arguments.agreed and not arguments.dry_run:
            report(arguments, "", calls.rebase())
            return 0
        found = calls.rebase(dry_run=True)
    report(arguments, "would be ", found)
    if arguments.dry_run or found.outcome == "home":
        return 0
    return refuse("nothing has been done yet")


def report(arguments: argparse.Namespace, word: str, done: Rebased) -> None:
    """Print what was done, or would be."""
    if arguments.json:
        document({"dry_run": bool(word), **as_plain(done)})
        return
    text = {
        "home": "nothing to do",
        "accepted": f"{word}accepted: the transaction numbers can stay as they are",
        "rebased": f"{word}rebased: {done.queued} queued, {done.leased} leased, "
        f"{done.parked} parked, {done.deferred} deferred",
    }
    say(text[done.outcome])
