"""``arvo-plpg stats``: how fast queues are worked on, and how one is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import add_command
from arvo_plpg.cli.paper import Column, Word, document, say, table
from arvo_plpg.cli.plain import moment, number, rate, span
from arvo_plpg.cli.queues import absent, count, state_of

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.cli.paper import Cell
    from arvo_plpg.rows import QueueStats

COLUMNS = (
    Column("QUEUE", shrinks=True),
    Column("DONE/MIN", right=True),
    Column("FAILED/MIN", right=True),
    Column("WAIT", right=True),
    Column("WAIT P95", right=True),
    Column("RUN", right=True),
    Column("RUN P95", right=True),
    Column("STORED", right=True),
)


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "stats",
        summary="tell how fast queues are worked on, and all about one of them",
        description="Rates and times of the newest claims of the last five minutes: how many were "
        "done and failed, how long they waited and ran (mean and 95th percentile). With the name "
        "of a queue: all its figures, and its options.",
        example="arvo-plpg stats\narvo-plpg stats com.example.order",
        run=run,
    )
    parser.add_argument("queue", nargs="?", help="all about this one")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with broker(arguments, "arvo-plpg stats") as calls:
        found = calls.queue_stats(arguments.queue)
    if arguments.json:
        document({"queues": found})
    elif arguments.queue is not None and found:
        _print_card(found[0])
    elif found:
        table(COLUMNS, map(_row, sorted(found, key=lambda stats: stats.name)))
    else:
        say(Word(absent(arguments.queue), "quiet"))
    return int(not found and arguments.queue is not None)


def _row(stats: QueueStats) -> list[Cell]:
    return [
        Word(stats.name, "strong" if stats.total_count else ""),
        rate(stats.completed_per_minute) if stats.completed_per_minute else Word("0", "quiet"),
        Word(rate(stats.failed_per_minute), "bad" if stats.failed_per_minute else "quiet"),
        span(stats.wait_mean),
        span(stats.wait_p95),
        span(stats.run_mean),
        span(stats.run_p95),
        count(stats.total_count),
    ]


def _print_card(stats: QueueStats) -> None:
    groups: dict[str, list[tuple[str, Cell]]] = {
        "now": [
            ("state", state_of(stats)),
            ("queued", count(stats.queued_count)),
            ("oldest", span(stats.oldest_queued_age)),
            ("running", count(stats.active_count)),
            ("waiting", count(stats.waiting_count)),
            ("deferred", count(stats.deferred_count)),
            ("dead", count(stats.dead_count, bad=True, exact=stats.exact)),
            ("stored", count(stats.total_count)),
        ],
        "pace": [
            ("done", f"{rate(stats.completed_per_minute)}/min"),
            ("failed", f"{rate(stats.failed_per_minute)}/min"),
            ("wait", f"{span(stats.wait_mean)}, 95 % within {span(stats.wait_p95)}"),
            ("run", f"{span(stats.run_mean)}, 95 % within {span(stats.run_p95)}"),
        ],
        "options": [
            ("policy", stats.policy),
            ("retries", _retries(stats)),
            ("expire_in", span(stats.expire_in)),
            ("dead_letter", stats.dead_letter or "-"),
            ("retention", span(stats.retention)),
            ("delete_after", span(stats.delete_after)),
            ("warning at", number(stats.warning_queue_size)),
            ("created", moment(stats.created_on)),
            ("changed", moment(stats.updated_on)),
        ],
    }
    say(Word(stats.name, "strong"))
    for title, lines in groups.items():
        say(Word(f"  {title}", "quiet"))
        for name, cell in lines:
            say(Word(f"    {name:<14}"), cell)


def _retries(stats: QueueStats) -> str:
    delay = f"after {span(stats.retry_delay)}" if stats.retry_delay else "at once"
    text = f"{stats.retry_limit}, {delay}"
    if stats.retry_backoff:
        text += ", doubling"
        if stats.retry_delay_max is not None:
            text += f" up to {span(stats.retry_delay_max)}"
    return text
