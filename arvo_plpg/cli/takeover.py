"""What ``rebase`` and ``accept-cluster`` share: a word of agreement."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

AGREED = "--yes-take-over"


def add_agreement(parser: argparse.ArgumentParser) -> None:
    """Add ``--yes-take-over``."""
    parser.add_argument(
        AGREED,
        action="store_true",
        dest="agreed",
        help="agree that what waits in this database runs here: the original must not run any more",
    )


def refuse(what: str) -> int:
    """Say that nobody agreed; the exit code."""
    sys.stderr.write(
        f"arvo-plpg: {what}\n"
        "What waits in this database would run here, and in the original as well if that still "
        f"runs.\nStop the original, then say {AGREED}.\n"
    )
    return 1
