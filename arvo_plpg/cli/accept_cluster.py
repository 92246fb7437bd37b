"""``arvo-plpg accept-cluster``: go on after pg_upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import add_command
from arvo_plpg.cli.paper import document, say
from arvo_plpg.cli.takeover import add_agreement, refuse

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "accept-cluster",
        summary="go on after pg_upgrade",
        description="Say that this cluster has kept the transaction numbers, as pg_upgrade does, "
        "and that work may go on. Refused where it cannot have kept them.",
        example="arvo-plpg accept-cluster --yes-take-over",
        run=run,
    )
    add_agreement(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if not arguments.agreed:
        return refuse("nothing has been done")
    with broker(arguments, "arvo-plpg accept-cluster") as calls:
        accepted = calls.accept_cluster()
    if arguments.json:
        document({"accepted": accepted})
    else:
        say("accepted" if accepted else "nothing to do")
    return 0
