"""``arvo-plpg pause``, ``resume`` and ``drain``: whether queues are claimed from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import add_command
from arvo_plpg.cli.paper import Column, Word, document, table
from arvo_plpg.cli.plain import moment, number

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import Switched
    from arvo_plpg.sync import Broker

COLUMNS = (
    Column("QUEUE", shrinks=True),
    Column("CHANGE"),
    Column("PAUSED SINCE"),
    Column("BY"),
    Column("WAITING", right=True),
)


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    for name, summary, description in (
        (
            "pause",
            "stop claims from a queue",
            (
                "Stop claims from a queue, or from all that begin alike ('com.example.*'). What "
                "runs finishes; what is dispatched waits."
            ),
        ),
        (
            "resume",
            "end a pause or a drain",
            "End the pause or the drain of a queue, or of all that begin alike ('com.example.*').",
        ),
        (
            "drain",
            "let a queue be worked off",
            (
                "Only what waits now is claimed, until the queue "
                "is resumed; what is dispatched later waits."
            ),
        ),
    ):
        pattern = "" if name == "drain" else f"\narvo-plpg {name} 'com.example.*'"
        parser = add_command(
            subcommands,
            name,
            summary=summary,
            description=description,
            example=f"arvo-plpg {name} com.example.order{pattern}",
            run=run,
        )
        parser.add_argument("queue", help="the queue")
        parser.set_defaults(verb=name)


def run(arguments: argparse.Namespace) -> int:
    """Run one of the commands."""
    with broker(arguments, f"arvo-plpg {arguments.verb}") as calls:
        rows = switch(calls, arguments.verb, arguments.queue)
    if arguments.json:
        document({"queues": rows})
    else:
        _print(rows)
    return 0


def switch(calls: Broker, verb: str, queue: str) -> list[Switched]:
    """Pause, resume or drain."""
    if verb == "drain":
        return [calls.drain_queue(queue)]
    return calls.pause_queue(queue) if verb == "pause" else calls.resume_queue(queue)


def _print(rows: list[Switched]) -> None:
    table(
        COLUMNS,
        [
            [
                Word(row.queue, "strong"),
                row.change,
                moment(row.paused_at),
                row.paused_by or "-",
                number(row.waiting),
            ]
            for row in rows
        ],
    )
