"""``arvo-plpg schedule``: events that are dispatched by the clock."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import (
    add_command,
    add_noun,
    add_yes,
    agreed,
    duration,
    instant,
    json_object,
    positive,
)
from arvo_plpg.cli.paper import Column, Word, document, say, table
from arvo_plpg.cli.plain import error_line, moment, number
from arvo_plpg.cli.tree import plain_count
from arvo_plpg.errors import InvalidArgument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import Schedule

COLUMNS = (
    Column("NAME"),
    Column("KEY"),
    Column("CRON"),
    Column("ZONE"),
    Column("NEXT"),
    Column("LAST"),
    Column("OUTCOME"),
    Column("FIRES", right=True),
    Column("STATE", shrinks=True),
)
_NAMED = (
    (
        "pause",
        "stop a schedule for a while",
        (
            "Pause the schedule of a name and key, or all of a "
            "name. What it misses meanwhile is not made up for."
        ),
    ),
    (
        "resume",
        "let a schedule go on",
        "Resume the schedule of a name and key, or all of a name, from now on.",
    ),
    (
        "remove",
        "remove a schedule",
        (
            "Remove the schedule of a name and key, or all of a name. What "
            "it has dispatched stays. Asks first."
        ),
    ),
)


def add(subcommands: Subcommands) -> None:
    """Add the noun and its commands."""
    schedule = add_noun(
        subcommands,
        "schedule",
        summary="add, list, pause, resume and remove schedules",
        description="Events that are dispatched by the clock.",
        example="arvo-plpg schedule list",
    )
    _add_add(schedule)
    listing = add_command(
        schedule,
        "list",
        summary="list schedules",
        description="What is dispatched when, and how the last time went.",
        example="arvo-plpg schedule list",
        run=run_list,
    )
    listing.add_argument("name", nargs="?", help="only those of this name")
    for verb, summary, description in _NAMED:
        named = add_command(
            schedule,
            verb,
            summary=summary,
            description=description,
            example=f"arvo-plpg schedule {verb} nightly",
            run=run_named,
        )
        named.add_argument("name", help="name of the schedule")
        named.add_argument("key", nargs="?", help="its key; all of the name without")
        named.set_defaults(verb=verb)
        if verb == "remove":
            add_yes(named)
    _add_next(schedule)


def _add_add(schedule: Subcommands) -> None:
    adding = add_command(
        schedule,
        "add",
        summary="create a schedule or change it",
        description="Have an event dispatched by the clock. The event has neither id nor time; "
        "each fire adds its own. The same again changes nothing.",
        example="arvo-plpg schedule add nightly '0 3 * * *' event.json --time-zone Europe/Berlin",
        run=run_add,
    )
    adding.add_argument("name", help="name of the schedule")
    adding.add_argument("cron", help="minute hour day month weekday, or @daily, …")
    adding.add_argument("event", metavar="FILE", help="the event as JSON; - is standard input")
    adding.add_argument("--key", help="tells schedules of one name apart")
    adding.add_argument("--time-zone", metavar="ZONE", help="such as Europe/Berlin (default: UTC)")
    adding.add_argument(
        "--missed", metavar="RULE", help="what becomes of fires that were missed: skip, one or all"
    )
    adding.add_argument(
        "--missed-limit", type=positive, metavar="N", help="of all, at most so many"
    )
    adding.add_argument(
        "--grace", type=duration, metavar="TIME", help="a fire so late is not missed yet"
    )
    adding.add_argument("--gap", metavar="RULE", help="for hours that clocks skip: skip or shift")
    adding.add_argument(
        "--overlap", metavar="RULE", help="for hours that clocks repeat: first, second or both"
    )
    adding.add_argument(
        "--options", type=json_object, metavar="JSON", help="options of each dispatch"
    )


def _add_next(schedule: Subcommands) -> None:
    preview = add_command(
        schedule,
        "next",
        summary="show when a cron text fires next",
        description="The next times at which a cron text fires in a time zone, also across the "
        "changes of its clocks. Nothing is stored.",
        example="arvo-plpg schedule next '30 2 * * *' --time-zone Europe/Berlin --count 3",
        run=run_next,
    )
    preview.add_argument("cron", help="minute hour day month weekday, or @daily, …")
    preview.add_argument("--time-zone", metavar="ZONE", help="such as Europe/Berlin (default: UTC)")
    preview.add_argument("--count", type=positive, metavar="N", help="how many (default: 10)")
    preview.add_argument("--from", type=instant, dest="from_", metavar="TIME", help="after then")
    preview.add_argument("--gap", metavar="RULE", help="for hours that clocks skip: skip or shift")
    preview.add_argument(
        "--overlap", metavar="RULE", help="for hours that clocks repeat: first, second or both"
    )


def run_add(arguments: argparse.Namespace) -> int:
    """Run ``schedule add``."""
    with broker(arguments, "arvo-plpg schedule add") as calls:
        row = calls.schedule(
            arguments.name,
            arguments.cron,
            read_event(arguments.event),
            key=arguments.key,
            time_zone=arguments.time_zone,
            missed=arguments.missed,
            missed_limit=arguments.missed_limit,
            grace=arguments.grace,
            gap=arguments.gap,
            overlap=arguments.overlap,
            options=arguments.options,
        )
    return _report(arguments, [row])


def read_event(named: str) -> dict[str, Any]:
    """Read one JSON object from a file or from standard input."""
    try:
        text = sys.stdin.read() if named == "-" else Path(named).read_text(encoding="utf-8")
        return json_object(text)
    except Exception as error:
        raise InvalidArgument(
            "the event cannot be read",
            detail=f"{type(error).__name__}: {str(error)[:200]}",
            hint="Give a file with one JSON object, or - for standard input.",
            field="event",
        ) from error


def run_list(arguments: argparse.Namespace) -> int:
    """Run ``schedule list``."""
    with broker(arguments, "arvo-plpg schedule list") as calls:
        rows = calls.schedules(arguments.name)
    return _report(arguments, rows)


def run_named(arguments: argparse.Namespace) -> int:
    """Run ``schedule pause``, ``resume`` or ``remove``."""
    dry_run = False
    with broker(arguments, f"arvo-plpg schedule {arguments.verb}") as calls:
        if arguments.verb == "remove":
            rows = calls.unschedule(arguments.name, arguments.key, dry_run=True)
            dry_run = arguments.dry_run
            if rows and not dry_run:
                if not agreed(arguments, f"Remove {plain_count(len(rows), 'schedule')}?"):
                    return 1
                rows = calls.unschedule(arguments.name, arguments.key)
        else:
            verb = {"pause": calls.pause_schedule, "resume": calls.resume_schedule}[arguments.verb]
            rows = verb(arguments.name, arguments.key)
    _report(arguments, rows, dry_run=dry_run)
    return int(not rows)


def _report(
    arguments: argparse.Namespace, rows: Sequence[Schedule], *, dry_run: bool = False
) -> int:
    if arguments.json:
        document({"dry_run": dry_run, "schedules": rows})
    elif rows:
        table(COLUMNS, map(_row, rows))
    else:
        say(Word("There are no schedules that fit.", "quiet"))
    return 0


def _row(row: Schedule) -> list[str | Word]:
    state = Word(row.change or "", "quiet")
    if row.error:
        state = Word(error_line(row.error), "bad")
    elif row.paused_at is not None:
        state = Word(f"paused by {row.paused_by}", "notice")
    return [
        Word(row.name, "strong"),
        row.key or "-",
        row.cron,
        row.time_zone,
        moment(row.next_at),
        moment(row.last_at),
        row.last_outcome or "-",
        number(row.fires),
        state,
    ]


def run_next(arguments: argparse.Namespace) -> int:
    """Run ``schedule next``."""
    with broker(arguments, "arvo-plpg schedule next") as calls:
        fires = calls.next_fires(
            arguments.cron,
            arguments.time_zone,
            arguments.count,
            arguments.from_,
            gap=arguments.gap,
            overlap=arguments.overlap,
        )
    if arguments.json:
        document({"fires": fires})
        return int(not fires)
    for fire in fires:
        hours = fire.utc_offset.total_seconds() / 3600
        say(Word(fire.local_time, "strong"), f"  UTC{hours:+g}  ", moment(fire.fire_at))
    if not fires:
        say(Word("It never fires.", "quiet"))
    return int(not fires)
