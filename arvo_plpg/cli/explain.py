"""``arvo-plpg explain``: why a delivery does not run now, or what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import add_command, positive
from arvo_plpg.cli.paper import Word, document, say
from arvo_plpg.cli.plain import moment

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "explain",
        summary="tell why a delivery does not run now, or what became of it",
        description="Every reason why a delivery does not run now, and what can be done about it; "
        "or what became of it. Numbers of deliveries are told by dispatch, trace and dead list.",
        example="arvo-plpg explain 42",
        run=run,
    )
    parser.add_argument("delivery", type=positive, help="number of the delivery")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with broker(arguments, "arvo-plpg explain") as calls:
        reasons = calls.explain_delivery(arguments.delivery)
    known = any(reason.place != "unknown" for reason in reasons)
    if arguments.json:
        document({"reasons": reasons})
        return int(not known)
    for head in reasons[:1]:
        say(
            Word(f"delivery {head.delivery}", "strong"),
            Word(f"  event {head.event_id or '-'}  queue {head.queue or '-'}  "),
            Word(head.place, "notice" if known else "bad"),
        )
    for reason in reasons:
        over = reason.place in {"closed", "dead"}
        until = f"  {'at' if over else 'until'} {moment(reason.until)}" if reason.until else ""
        say("  ", Word(reason.reason, "strong"), f": {reason.detail}", Word(until, "quiet"))
        if reason.remedy:
            say(Word(f"    → {reason.remedy}", "good"))
    return int(not known)
