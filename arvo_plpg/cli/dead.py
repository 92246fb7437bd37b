"""``arvo-plpg dead``: dead letters: list, show, redrive, discard.

Redrive and discard first find out which letters are meant; then these are dealt with, by number,
so that what was shown and agreed to is what is done.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.filters import (
    add_dead_filters,
    add_limit,
    dead_filters,
    told_nothing,
)
from arvo_plpg.cli.options import (
    add_command,
    add_dry_run,
    add_noun,
    add_yes,
    agreed,
    json_object,
    positive,
)
from arvo_plpg.cli.paper import Column, Word, document, say, table
from arvo_plpg.cli.plain import error_line, moment, number, span
from arvo_plpg.cli.progress import Progress
from arvo_plpg.cli.tree import plain_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import Attempt, DeadLetter, Discarded, Redriven

BATCH = 200
COLUMNS = (
    Column("DEAD", right=True),
    Column("DIED"),
    Column("QUEUE"),
    Column("REASON"),
    Column("ATTEMPTS", right=True),
    Column("TYPE"),
    Column("ERROR", shrinks=True),
)


def add(subcommands: Subcommands) -> None:
    """Add the noun and its commands."""
    dead = add_noun(
        subcommands,
        "dead",
        summary="list, show, redrive and discard dead letters",
        description="Deliveries that failed for good.",
        example="arvo-plpg dead list",
    )
    _add_list(dead)
    show = add_command(
        dead,
        "show",
        summary="show one dead letter: its event, attempts and error",
        description="One dead letter, and the attempts that ended in it. The event's payload is "
        "shown only with --payload (in JSON always: the letter as it is).",
        example="arvo-plpg dead show 7\narvo-plpg dead show 7 --payload",
        run=run_show,
    )
    show.add_argument("dead", type=positive, metavar="DEAD", help="number of the dead letter")
    show.add_argument("--payload", action="store_true", help="show the event and the whole error")
    _add_redrive(dead)
    discard = add_command(
        dead,
        "discard",
        summary="close dead letters that nobody wants any more",
        description="Close dead letters by number, or those that filters find. They are kept, "
        "resolved, as long as others are. Asks first.",
        example="arvo-plpg dead discard --queue com.example.mail --before 30d --dry-run\n"
        "arvo-plpg dead discard 7 8 --yes",
        run=run_discard,
    )
    add_dead_filters(discard)
    add_limit(discard)
    add_yes(discard)


def _add_list(dead: Subcommands) -> None:
    listing = add_command(
        dead,
        "list",
        summary="list dead letters",
        description="Dead letters in the order of their numbers; a page at a time with --after.",
        example="arvo-plpg dead list --queue com.example.mail --since 24h\n"
        "arvo-plpg dead list --path '$.data ? (@.amount > 100)' --json",
        run=run_list,
    )
    add_dead_filters(listing)
    listing.add_argument("--resolved", action="store_true", help="also those redriven or discarded")
    listing.add_argument(
        "--after", type=positive, metavar="DEAD", help="the last number of the page before"
    )
    add_limit(listing)


def _add_redrive(dead: Subcommands) -> None:
    redrive = add_command(
        dead,
        "redrive",
        summary="put dead letters back into a queue",
        description="Put dead letters back into the queues they failed in, or another, by number "
        "or those that filters find, oldest first. They begin again with attempt 1.",
        example="arvo-plpg dead redrive --queue com.example.mail --dry-run\n"
        "arvo-plpg dead redrive --queue com.example.mail --rate 10\n"
        'arvo-plpg dead redrive 7 --edit \'{"data": {"amount": 5}}\'',
        run=run_redrive,
    )
    add_dead_filters(redrive)
    add_limit(redrive)
    redrive.add_argument("--rate", type=float, metavar="N", help="so many per second")
    redrive.add_argument("--to", metavar="QUEUE", help="into another queue")
    redrive.add_argument(
        "--edit", type=json_object, metavar="JSON", help="merge patch of the event (RFC 7396)"
    )
    redrive.add_argument(
        "--data", type=json_object, metavar="JSON", help="replaces the event's data"
    )
    redrive.add_argument(
        "--force", action="store_true", help="also what was redriven as often as its queue allows"
    )
    add_dry_run(redrive)


def run_list(arguments: argparse.Namespace) -> int:
    """Run ``dead list``."""
    with broker(arguments, "arvo-plpg dead list") as calls:
        found = calls.dead_letters(
            **dead_filters(arguments),
            after=arguments.after,
            limit=arguments.limit,
            resolved=arguments.resolved,
        )
    whole = len(found) < arguments.limit
    if arguments.json:
        document({"whole": whole, "dead_letters": found})
        return 0
    if found:
        table(COLUMNS, map(_row, found))
    else:
        say(Word("There are no dead letters that fit.", "quiet"))
    if not whole:
        sys.stderr.write(f"There may be more: go on with --after {found[-1].dead}\n")
    return 0


def _row(letter: DeadLetter) -> list[str | Word]:
    return [
        str(letter.dead),
        moment(letter.died_at),
        letter.queue,
        Word(letter.resolution or letter.reason, "quiet" if letter.resolution else ""),
        number(letter.attempts),
        str(letter.event.get("type", "-")),
        Word(error_line(letter.error), "bad"),
    ]


def run_show(arguments: argparse.Namespace) -> int:
    """Run ``dead show``."""
    with broker(arguments, "arvo-plpg dead show") as calls:
        found = calls.dead_letters(dead=[arguments.dead], resolved=True)
        attempts = calls.dead_letter_attempts(arguments.dead) if found else []
    if arguments.json:
        document({"dead_letter": found[0] if found else None, "attempts": attempts})
    elif found:
        _print_letter(found[0], attempts, payload=arguments.payload)
    else:
        say(Word(f"There is no dead letter {arguments.dead}.", "quiet"))
    return int(not found)


def _print_letter(letter: DeadLetter, attempts: Sequence[Attempt], *, payload: bool) -> None:
    say(Word(f"dead letter {letter.dead}", "strong"), Word(f"  {letter.reason}", "bad"))
    lines = {
        "event": letter.event_id,
        "type": letter.event.get("type", "-"),
        "source": letter.event.get("source", "-"),
        "subject": letter.event.get("subject", "-"),
        "queue": letter.queue,
        "died": moment(letter.died_at),
        "lies in": letter.dead_letter or "-",
        "redrives": str(letter.redrives),
    }
    if letter.resolution:
        lines["resolution"] = (
            f"{letter.resolution} by {letter.resolved_by}, {moment(letter.resolved_at)}"
        )
    for name, text in lines.items():
        say(Word(f"  {name:<11}", "quiet"), str(text))
    if letter.error:
        say(Word("  error      ", "quiet"), Word(error_line(letter.error), "bad"))
    for attempt in attempts:
        say(
            Word(f"  attempt {attempt.attempt or '-'}", "strong"),
            f"  {moment(attempt.claimed_at)}  ran {span(attempt.run_time)}"
            f"  {attempt.worker or '-'}  {attempt.outcome or '-'}  ",
            Word(error_line(attempt.error), "bad"),
        )
    if payload:
        whole = {"event": letter.event, "error": letter.error}
        for line in json.dumps(whole, indent=2, ensure_ascii=False).split("\n"):
            say(line)


def run_redrive(arguments: argparse.Namespace) -> int:
    """Run ``dead redrive``."""
    with broker(arguments, "arvo-plpg dead redrive") as calls:
        call = partial(
            calls.redrive,
            rate=arguments.rate,
            edit=arguments.edit,
            data=arguments.data,
            to=arguments.to,
            force=arguments.force,
        )
        given = _given(arguments)
        found = call(**given, limit=arguments.limit, dry_run=True)
        if not arguments.dry_run:
            # What is spread over time is spread by one call; its limit is that of this command.
            batch = BATCH if arguments.rate is None else len(found)
            found = _apply(call, given, found, batch)
        return _report(arguments, found)


def run_discard(arguments: argparse.Namespace) -> int:
    """Run ``dead discard``."""
    with broker(arguments, "arvo-plpg dead discard") as calls:
        given = _given(arguments)
        found = calls.discard(**given, limit=arguments.limit, dry_run=True)
        if not arguments.dry_run and found:
            if not arguments.json and not arguments.yes:
                _print(found[:20])
            if not agreed(arguments, f"Discard {plain_count(len(found), 'dead letter')}?"):
                return 1
            found = _apply(calls.discard, given, found, BATCH)
        return _report(arguments, found)


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    given = dead_filters(arguments)
    if told_nothing(given):
        arguments.parser.error("say which dead letters: give numbers or a filter")
    return given


def _apply(
    call: Callable[..., list[Any]],
    given: dict[str, Any],
    found: Sequence[Redriven | Discarded],
    batch: int,
) -> list[Any]:
    done: list[Any] = []
    with Progress("dead letters", len(found)) as progress:
        for start in range(0, len(found), max(batch, 1)):
            numbers = [one.dead for one in found[start : start + batch]]
            done += call(**{**given, "dead": numbers}, limit=len(numbers))
            progress.advance(len(numbers))
    return done


def _report(arguments: argparse.Namespace, rows: Sequence[Redriven | Discarded]) -> int:
    refused = sum(row.outcome == "refused" for row in rows)
    whole = len(rows) - refused < arguments.limit
    if arguments.json:
        document({"dry_run": arguments.dry_run, "whole": whole, "dead_letters": rows})
    elif rows:
        _print(rows)
    else:
        say(Word("There are no dead letters that fit.", "quiet"))
    if not whole and not arguments.json:
        sys.stderr.write("There may be more: the limit is reached.\n")
    return int(refused > 0)


def _print(rows: Sequence[Redriven | Discarded]) -> None:
    columns = (
        Column("DEAD", right=True),
        Column("OUTCOME"),
        Column("QUEUE"),
        Column("DELIVERY", right=True),
        Column("DUE"),
        Column("EVENT", shrinks=True),
        Column("WHY", shrinks=True),
    )
    table(
        columns,
        [
            [
                str(row.dead),
                Word(row.outcome, "bad" if row.outcome == "refused" else "good"),
                row.queue,
                str(getattr(row, "delivery", None) or "-"),
                moment(getattr(row, "due_at", None)),
                Word(row.event_id, "quiet"),
                " ".join(filter(None, (row.code, row.detail))),
            ]
            for row in rows
        ],
    )
