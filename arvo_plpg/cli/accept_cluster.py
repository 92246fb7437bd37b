"""``arvo-plpg accept-cluster``: go on after pg_upgrade."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from arvo_plpg.cli.takeover import add_agreement, broker, refuse

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = subcommands.add_parser(
        "accept-cluster",
        help="go on after pg_upgrade",
        description="Say that this cluster has kept the transaction numbers, as pg_upgrade does, "
        "and that work may go on. Refused where it cannot have kept them.",
    )
    add_agreement(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if not arguments.agreed:
        return refuse("nothing has been done")
    with broker(arguments, "arvo-plpg accept-cluster") as calls:
        accepted = calls.accept_cluster()
    sys.stdout.write("accepted\n" if accepted else "nothing to do\n")
    return 0
