"""Picture: the story of a workflow as a tree of events along a line of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from arvo_plpg.page.looks import duration, short, subject_name
from arvo_plpg.story import branches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.rows import Step

ROW: Final = 34
LEFT: Final = 372
TIME_WIDTH: Final = 690
INDENT: Final = 16
DEEPEST: Final = 9
HEAD: Final = 34
MOST_ROWS: Final = 400
_SHORTEST: Final = 3.0
_TICKS: Final = 5

KINDS: Final = {
    "completed": "good",
    "retried": "warn",
    "failed": "bad",
    "dead": "bad",
    "rejected": "bad",
    "expired": "warn",
    "leased": "live",
    "running": "live",
}
"""How an outcome is coloured; any other is quiet."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of the line of time: a wait or a run."""

    kind: str
    x: float
    width: float
    told: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign at the end of a run: an error, or that something still goes on."""

    kind: str
    x: float
    told: str


@dataclass(frozen=True, slots=True)
class Row:
    """One event: its place in the tree, and what became of its deliveries."""

    y: int
    x: int
    label: str
    told: str
    event_id: str
    to: str
    outcome: str
    kind: str
    attempts: int
    took: str
    joint: str
    bars: list[Bar]
    marks: list[Mark]


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole drawing."""

    width: int
    height: int
    rows: list[Row]
    ticks: list[tuple[float, str]]
    left_out: int
    took: timedelta
    errors: int
    subjects: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Scale:
    first: datetime
    seconds: float

    def x(self, at: datetime) -> float:
        share = (at - self.first).total_seconds() / self.seconds
        return LEFT + min(max(share, 0.0), 1.0) * TIME_WIDTH


def draw(steps: Sequence[Step], now: datetime | None = None) -> Picture | None:
    """Draw a story; None if there is none.

    Args:
        steps: what ``trace`` tells.
        now: the time up to which what still runs is drawn; that of this machine by default.
    """
    if not steps:
        return None
    now = now or datetime.now(UTC)
    first = min(step.accepted_at for step in steps)
    ends = [step.settled_at or step.accepted_at for step in steps]
    if any(step.settled_at is None and step.claimed_at is not None for step in steps):
        ends.append(now)
    last = max(*ends, first + timedelta(milliseconds=1))
    scale = _Scale(first, (last - first).total_seconds())
    rows: list[Row] = []
    places: dict[str, tuple[int, int]] = {}
    for branch in branches(steps):
        if len(rows) >= MOST_ROWS:
            break
        first_of, *_ = branch.deliveries
        y = HEAD + len(rows) * ROW
        x = 10 + min(branch.depth, DEEPEST) * INDENT
        parent = places.get(first_of.parent_id or "")
        places[first_of.event_id] = (x, y)
        joint = "" if parent is None else f"M{parent[0] + 4},{parent[1] + 24}V{y + 15}H{x - 3}"
        rows.append(_row(branch.deliveries, scale, now, (x, y), joint))
    ticks = [
        (LEFT + TIME_WIDTH * n / _TICKS, duration(scale.seconds * n / _TICKS))
        for n in range(_TICKS + 1)
    ]
    return Picture(
        LEFT + TIME_WIDTH + 96,
        HEAD + len(rows) * ROW + 8,
        rows,
        ticks,
        len({step.event_id for step in steps}) - len(rows),
        last - first,
        sum(step.error is not None for step in steps),
        list({step.subject: subject_name(step.subject) for step in steps}.items()),
    )


def _row(
    deliveries: list[Step], scale: _Scale, now: datetime, place: tuple[int, int], joint: str
) -> Row:
    x, y = place
    bars: list[Bar] = []
    marks: list[Mark] = []
    before: datetime | None = None
    for step in deliveries:
        if before is not None and step.accepted_at > before:
            told = f"put off before attempt {step.attempt}"
            _bar(bars, scale, "delay", (before, step.accepted_at), told)
        before = step.settled_at
        kind = KINDS.get(step.outcome, "quiet")
        begun = step.claimed_at
        ready = step.due_at if step.due_at is not None and step.due_at > step.accepted_at else None
        waited_until = (
            begun or step.settled_at or min(now, scale.first + timedelta(seconds=scale.seconds))
        )
        told = f"attempt {step.attempt}, waits in {step.queue}"
        if ready is not None and ready <= waited_until:
            _bar(bars, scale, "delay", (step.accepted_at, ready), f"{told}, put off")
            _bar(bars, scale, "wait", (ready, waited_until), told)
        else:
            _bar(bars, scale, "wait", (step.accepted_at, waited_until), told)
        if begun is not None:
            ended = step.settled_at or now
            said = f"attempt {step.attempt} by {step.worker or 'a worker'}: {step.outcome}"
            _bar(bars, scale, f"run {kind}", (begun, ended), said)
        if step.error is not None:
            at = scale.x(step.settled_at or begun or step.accepted_at)
            name, message = (str(step.error.get(key) or "") for key in ("name", "message"))
            marks.append(Mark("error", at, short(f"{name}: {message}", 300)))
    last = deliveries[-1]
    took = None if last.settled_at is None else last.settled_at - deliveries[0].accepted_at
    return Row(
        y=y,
        x=x,
        label=short(last.event_type, 40 - min((x - 10) // 8, 16)),
        told=f"{last.event_type}, from {last.source} to {last.queue}, event {last.event_id}",
        event_id=last.event_id,
        to=last.queue,
        outcome=last.outcome,
        kind=KINDS.get(last.outcome, "quiet"),
        attempts=max(step.attempt for step in deliveries),
        took=last.outcome if took is None else duration(took),
        joint=joint,
        bars=bars,
        marks=marks,
    )


def _bar(
    bars: list[Bar], scale: _Scale, kind: str, period: tuple[datetime, datetime], told: str
) -> None:
    begun, ended = period
    x = scale.x(begun)
    width = max(scale.x(ended) - x, _SHORTEST if kind.startswith("run") else 0.0)
    if width > 0:
        x = min(x, LEFT + TIME_WIDTH - width)
        bars.append(Bar(kind, round(x, 1), round(width, 1), f"{told}, {duration(ended - begun)}"))
