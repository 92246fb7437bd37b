"""What ``rebase`` and ``accept-cluster`` share: a broker, and a word of agreement."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from arvo_plpg.cli.options import add_database, dsn
from arvo_plpg.schema.handshake import ABSENT, about_query, judge, offer
from arvo_plpg.schema.target import Target
from arvo_plpg.sync import Broker

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

AGREED = "--yes-take-over"


def add_agreement(parser: argparse.ArgumentParser) -> None:
    """Add ``--dsn``, ``--schema`` and ``--yes-take-over``."""
    add_database(parser)
    parser.add_argument(
        AGREED,
        action="store_true",
        dest="agreed",
        help="agree that what waits in this database runs here: the original must not run any more",
    )


@contextmanager
def broker(arguments: argparse.Namespace, purpose: str) -> Iterator[Broker]:
    """Hold the broker's functions on a connection of its own, after the hand-shake."""
    with Target.parse(dsn(arguments)).session(purpose) as connection:
        try:
            row = connection.execute(about_query(arguments.schema)).fetchone()
        except ABSENT:
            row = None
        judge(row, offer(arguments.sql_root))
        yield Broker(connection, schema=arguments.schema)


def refuse(what: str) -> int:
    """Say that nobody agreed; the exit code."""
    sys.stderr.write(
        f"arvo-plpg: {what}\n"
        "What waits in this database would run here, and in the original as well if that still "
        f"runs.\nStop the original, then say {AGREED}.\n"
    )
    return 1
