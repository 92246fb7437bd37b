"""Tree: the story of a workflow, drawn with the characters of a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.paper import Word, width_of
from arvo_plpg.cli.plain import error_line, moment, span
from arvo_plpg.story import branches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arvo_plpg.cli.paper import Tone
    from arvo_plpg.rows import Step

LIVE = ("queued", "active", "waiting", "deferred", "paused", "draining")
_MARKS: dict[str, tuple[str, Tone]] = {
    "completed": ("✓", "good"),
    "active": ("▶", "strong"),
    "queued": ("○", ""),
    "waiting": ("○", "quiet"),
    "deferred": ("◷", ""),
    "paused": ("‖", "notice"),
    "draining": ("‖", "notice"),
    "retried": ("↻", "notice"),
    "expired": ("↻", "notice"),
    "snoozed": ("◷", "quiet"),
    "released": ("↻", "quiet"),
    "conflict": ("↻", "notice"),
    "dead": ("✗", "bad"),
    "unroutable": ("?", "notice"),
}


_RIGHT = (4, 5, 6)
"""Columns of numbers."""


def draw(steps: Sequence[Step], room: int | None = None) -> list[list[Word]]:
    """Return the lines of the story, as words that stand in columns.

    Each event hangs under the event that it answers; each of its deliveries is a line: event,
    queue, attempt, outcome, how long it waited and ran, number. An error is a line below.

    Args:
        steps: of one tree of workflows, in order of acceptance.
        room: columns of the terminal, where names that are too long for it are cut.
    """
    lines = list(_lines(steps))
    columns = zip(*(line for line in lines if len(line) > 1), strict=True)
    widths = [max(width_of(word.text) for word in column) for column in columns]
    if room is not None:
        _narrow(widths, room)
    return [line if len(line) == 1 else list(_padded(line, widths)) for line in lines]


def _narrow(widths: list[int], room: int) -> None:
    """Take from the queue, then from the event, what there is no room for."""
    for column, least in ((1, 16), (0, 24)):
        over = sum(widths) + 2 * (sum(width > 0 for width in widths) - 1) - room
        if over > 0:
            widths[column] = max(widths[column] - over, min(widths[column], least))


def _padded(line: Sequence[Word], widths: Sequence[int]) -> Iterator[Word]:
    last = max(number for number, width in enumerate(widths) if width)
    for number, (found, width) in enumerate(zip(line, widths, strict=True)):
        if not width:
            continue
        word = found
        if width_of(word.text) > width:  # the end of a queue's name tells more
            cut = "…" + word.text[1 - width :] if number == 1 else word.text[: width - 1] + "…"
            word = Word(cut, word.tone)
        room = " " * (width - width_of(word.text))
        text = room + word.text if number in _RIGHT else word.text + room
        yield Word(text if number == last else text + "  ", word.tone)


def _lines(steps: Sequence[Step]) -> Iterator[list[Word]]:
    for branch in branches(steps):
        below = "".join("   " if last else "│  " for last in branch.lasts)
        joint = below[:-3] + ("└─ " if branch.lasts[-1] else "├─ ") if branch.lasts else ""
        for step in branch.deliveries:
            yield _line(step, joint)
            joint = below
            if step.error:
                stem = below + ("│  " if branch.answered else "   ")
                yield [Word(stem + error_line(step.error), "bad")]


def _line(step: Step, branch: str) -> list[Word]:
    sign, tone = _MARKS.get(step.outcome, ("·", "quiet"))
    outcome = step.outcome
    if step.outcome == "deferred" and step.due_at is not None:
        outcome += f" to {moment(step.due_at)}"
    return [
        Word(branch + step.event_type, "strong"),
        Word(step.queue),
        Word(f"#{step.attempt}" if step.attempt > 1 else "", "notice"),
        Word(f"{sign} {outcome}", tone),
        Word("" if step.wait_time is None else f"waited {span(step.wait_time)}", "quiet"),
        Word("" if step.run_time is None else f"ran {span(step.run_time)}"),
        Word("" if step.delivery is None else str(step.delivery), "quiet"),
    ]


def summary(steps: Sequence[Step]) -> list[Word]:
    """Return one line about the story: how many events, how long, what is open, what died."""
    events = len({step.event_id for step in steps})
    workflows = len({step.subject for step in steps})
    begun = min(step.accepted_at for step in steps)
    ended = max(step.settled_at or step.claimed_at or step.accepted_at for step in steps)
    live = sum(step.outcome in LIVE for step in steps)
    dead = sum(step.outcome == "dead" for step in steps)
    words = [
        Word(plain_count(workflows, "workflow") + "  "),
        Word(plain_count(events, "event") + "  "),
        Word(plain_count(len(steps), "delivery", "deliveries") + "  "),
        Word(span(ended - begun) + "  "),
        Word(f"{live} open" if live else "settled", "" if live else "good"),
    ]
    return [*words, Word(f"  {dead} dead", "bad")] if dead else words


def plain_count(count: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
