"""``arvo-plpg trace``: the story of a workflow, as a tree, also while it goes on."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import LONGEST_SLEEP_SECONDS, add_command, duration
from arvo_plpg.cli.paper import RICH, Word, document, has_colour, json_line, say
from arvo_plpg.cli.plain import span
from arvo_plpg.cli.tree import draw, summary

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import Step
    from arvo_plpg.sync import Broker


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "trace",
        summary="tell the story of a workflow",
        description="Every delivery of every event of a workflow's tree: each event under the one "
        "that it answers, where it went, how often it was tried, how long it waited and ran, and "
        "what went wrong. Payloads are not shown. Follows until it is interrupted.",
        example="arvo-plpg trace order/42\narvo-plpg trace order/42 --follow",
        run=run,
    )
    parser.add_argument("named", metavar="SUBJECT|EVENT", help="a subject, or the id of an event")
    parser.add_argument(
        "--follow",
        "-f",
        action="store_true",
        help="go on, live; with --json one line for each delivery that is new or has changed",
    )
    parser.add_argument(
        "--every",
        type=duration,
        default=duration("1s"),
        metavar="TIME",
        help="how often to look (default: 1s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with broker(arguments, "arvo-plpg trace") as calls:
        if arguments.follow:
            return _follow(arguments, calls)
        steps = find(calls, arguments.named)
    if arguments.json:
        document({"steps": steps})
    elif steps:
        _print(steps)
    else:
        say(Word(f"Nothing is known of {arguments.named}.", "quiet"))
    return int(not steps)


def find(calls: Broker, named: str) -> list[Step]:
    """Return the story that a subject belongs to, or if there is none, an event of that id."""
    return calls.trace(named) or calls.trace(event_id=named)


def _print(steps: list[Step]) -> None:
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in draw(steps, room):
        say(*line)
    say(*summary(steps))


def _looks(arguments: argparse.Namespace, calls: Broker) -> Iterator[list[Step]]:
    while True:
        yield find(calls, arguments.named)
        time.sleep(min(max(arguments.every.total_seconds(), 0.05), LONGEST_SLEEP_SECONDS))


def _follow(arguments: argparse.Namespace, calls: Broker) -> int:
    if not arguments.json and sys.stdout.isatty():
        try:
            return _follow_tree(arguments, calls)
        except ImportError:
            pass  # without rich, line by line
    _follow_lines(arguments, calls)
    return 0


def _follow_tree(arguments: argparse.Namespace, calls: Broker) -> int:
    from rich.console import Console  # noqa: PLC0415 - an extra
    from rich.live import Live  # noqa: PLC0415 - an extra
    from rich.text import Text  # noqa: PLC0415 - an extra

    console = Console(highlight=False, no_color=not has_colour(sys.stdout))
    steps: list[Step] = []
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for steps in _looks(arguments, calls):
                lines = (
                    [*draw(steps, console.width), summary(steps)]
                    if steps
                    else [[Word("waiting …", "quiet")]]
                )
                shown = [
                    Text.assemble(*((word.text, RICH[word.tone]) for word in line))
                    for line in lines[-max(console.height - 1, 1) :]
                ]
                for text in shown:
                    text.truncate(console.width, overflow="ellipsis")
                live.update(Text("\n").join(shown), refresh=True)
    except KeyboardInterrupt:
        if steps:
            _print(steps)
    return 0


def _follow_lines(arguments: argparse.Namespace, calls: Broker) -> None:
    told: dict[tuple[str, int | None], str] = {}
    try:
        for steps in _looks(arguments, calls):
            for step in steps:
                key = (step.event_id, step.delivery)
                if told.get(key) == step.outcome:
                    continue
                told[key] = step.outcome
                if arguments.json:
                    sys.stdout.write(json_line(step))
                    continue
                ran = f"  ran {span(step.run_time)}" if step.run_time is not None else ""
                say(f"{step.event_type}  {step.queue}  #{step.attempt}  {step.outcome}{ran}")
            sys.stdout.flush()
    except KeyboardInterrupt:
        return
