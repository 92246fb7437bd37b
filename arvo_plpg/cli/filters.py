"""Filters: which deliveries, or which dead letters, a command means."""

from __future__ import annotations

import argparse
from typing import Any

from arvo_plpg.cli.options import instant, positive

MOST = 10_000
"""The most that one command finds."""


def add_delivery_filters(parser: argparse.ArgumentParser) -> None:
    """Add the filters of ``cancel``, ``retry`` and ``move``."""
    parser.add_argument(
        "delivery", nargs="*", type=positive, metavar="DELIVERY", help="numbers of deliveries"
    )
    group = parser.add_argument_group("filters, which must all fit; one at least is needed")
    group.add_argument("--queue", help="in this queue")
    group.add_argument("--event", metavar="ID", help="of this event")
    group.add_argument("--tree", metavar="SUBJECT", help="of the whole tree of this workflow")
    group.add_argument(
        "--before", type=instant, metavar="TIME", help="there since earlier; 2h is two hours ago"
    )
    _add_event_filters(group)
    add_limit(parser)


def delivery_filters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return them as arguments of the contract."""
    return {
        "delivery": arguments.delivery or None,
        "queue": arguments.queue,
        "event_id": arguments.event,
        "event_type": arguments.type,
        "subject": arguments.subject,
        "tree": arguments.tree,
        "before": arguments.before,
        "path": arguments.path,
        "text": arguments.text,
    }


def add_dead_filters(parser: argparse.ArgumentParser, *, numbers: bool = True) -> None:
    """Add the filters of dead letters."""
    if numbers:
        parser.add_argument(
            "dead", nargs="*", type=positive, metavar="DEAD", help="numbers of dead letters"
        )
    group = parser.add_argument_group("filters, which must all fit")
    group.add_argument("--queue", help="died in this queue, or lies in this dead-letter queue")
    group.add_argument("--reason", help="why: failed, expired, …")
    group.add_argument(
        "--since", type=instant, metavar="TIME", help="died then or later; 2h is two hours ago"
    )
    group.add_argument("--before", type=instant, metavar="TIME", help="died earlier")
    _add_event_filters(group)


def dead_filters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return them as arguments of the contract."""
    return {
        "dead": getattr(arguments, "dead", None) or None,
        "queue": arguments.queue,
        "reason": arguments.reason,
        "since": arguments.since,
        "before": arguments.before,
        "event_type": arguments.type,
        "subject": arguments.subject,
        "path": arguments.path,
        "text": arguments.text,
    }


def _add_event_filters(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--type", help="the event is of this type")
    group.add_argument("--subject", help="the event is of this subject")
    group.add_argument(
        "--path", help="SQL/JSON path that finds something in the event: '$.data ? (@.sum > 9)'"
    )
    group.add_argument("--text", help="stands in the event (or error of a dead letter)")


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Add ``--limit``."""
    parser.add_argument(
        "--limit",
        type=limit,
        default=1000,
        metavar="N",
        help=f"at most so many, 1 to {MOST} (default: %(default)s)",
    )


def limit(text: str) -> int:
    """Read a limit."""
    read = positive(text)
    if read > MOST:
        raise argparse.ArgumentTypeError(f"{read} is more than {MOST}")
    return read


def told_nothing(given: dict[str, Any]) -> bool:
    """Tell whether no filter was given, so that everything would be meant."""
    return all(value is None for value in given.values())
