"""``arvo-plpg queues``: what waits, runs and failed, queue by queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import add_command
from arvo_plpg.cli.paper import Column, Word, document, say, table
from arvo_plpg.cli.plain import number, rate, span

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.cli.paper import Cell
    from arvo_plpg.rows import QueueStats

COLUMNS = (
    Column("QUEUE", shrinks=True),
    Column("QUEUED", right=True),
    Column("OLDEST", right=True),
    Column("RUNNING", right=True),
    Column("WAITING", right=True),
    Column("DEFERRED", right=True),
    Column("DEAD", right=True),
    Column("DONE/MIN", right=True),
    Column("STATE"),
)


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "queues",
        summary="list the queues: what waits, runs and failed",
        description="One line for each queue: ready (queued), age of the oldest, running, waiting "
        "behind others of their key, due later (deferred), open dead letters.",
        example="arvo-plpg queues\narvo-plpg queues com.example.order --json",
        run=run,
    )
    parser.add_argument("queue", nargs="?", help="only this one")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with broker(arguments, "arvo-plpg queues") as calls:
        found = calls.queue_stats(arguments.queue)
    if arguments.json:
        document({"queues": found})
    elif found:
        table(COLUMNS, map(row_of, sorted(found, key=lambda stats: stats.name)))
    else:
        say(Word(absent(arguments.queue), "quiet"))
    return int(not found and arguments.queue is not None)


def absent(queue: str | None) -> str:
    """Say that there is no queue."""
    return "There are no queues yet." if queue is None else f"There is no queue {queue}."


def state_of(stats: QueueStats) -> Word:
    """Say in one word whether a queue is worked on."""
    if stats.draining:
        return Word("draining", "notice")
    if stats.paused_at is not None:
        return Word("paused", "notice")
    if not stats.registered:
        return Word("unregistered", "notice" if stats.queued_count else "quiet")
    return Word("open", "quiet")


def count(value: int, *, bad: bool = False, exact: bool = True) -> Word:
    """Show a count: quiet when it is nothing, loud when it should not be there."""
    if not value:
        return Word("0", "quiet")
    return Word(number(value) + ("" if exact else "+"), "bad" if bad else "")


def row_of(stats: QueueStats) -> list[Cell]:
    """Show one queue."""
    long = stats.queued_count + stats.waiting_count > stats.warning_queue_size
    return [
        Word(stats.name, "strong" if stats.total_count else ""),
        count(stats.queued_count, bad=long),
        span(stats.oldest_queued_age),
        count(stats.active_count),
        count(stats.waiting_count),
        count(stats.deferred_count),
        count(stats.dead_count, bad=True, exact=stats.exact),
        rate(stats.completed_per_minute) if stats.completed_per_minute else Word("0", "quiet"),
        state_of(stats),
    ]
