"""Board: what ``top`` shows: the queues now, and how they were."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from arvo_plpg.cli.paper import RICH, Column, Word, rich_table
from arvo_plpg.cli.plain import number, rate, span
from arvo_plpg.cli.queues import count, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arvo_plpg.rows import Presence, QueueStats, Vital

HISTORY = 60
SPARK = "▁▂▃▄▅▆▇█"
_WIDE = 124
_MARGIN = 7
"""Lines around the rows: title, totals, graph, blank, head, blank, foot."""

SORTS: dict[str, Callable[[QueueStats], Any]] = {
    "queued": lambda stats: -(stats.queued_count + stats.waiting_count),
    "rate": lambda stats: -stats.completed_per_minute,
    "failures": lambda stats: (-stats.failed_per_minute, -stats.dead_count),
    "oldest": lambda stats: (
        -(stats.oldest_queued_age.total_seconds() if stats.oldest_queued_age else 0)
    ),
    "name": lambda stats: stats.name,
}


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one time.

    Args:
        at: when, by this computer's clock.
        queues: their figures.
        workers: processes that have checked in.
        warnings: what health() warns of.
    """

    at: datetime
    queues: Sequence[QueueStats]
    workers: Sequence[Presence]
    warnings: Sequence[Vital] = ()

    def total(self, name: str) -> Any:  # noqa: ANN401 - a count or a rate
        """Return the sum of a figure of all queues."""
        return sum(getattr(stats, name) for stats in self.queues)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "at": self.at,
            "totals": {
                "queued": self.total("queued_count"),
                "running": self.total("active_count"),
                "waiting": self.total("waiting_count"),
                "deferred": self.total("deferred_count"),
                "dead": self.total("dead_count"),
                "completed_per_minute": self.total("completed_per_minute"),
                "failed_per_minute": self.total("failed_per_minute"),
                "workers_alive": sum(worker.alive for worker in self.workers),
            },
            "queues": list(self.queues),
        }


@dataclass(slots=True)
class Board:
    """What is shown, and how it was.

    Args:
        title: what is looked at.
        every: seconds between two looks.
    """

    title: str
    every: float
    sort: str = "queued"
    held: bool = False
    first: int = 0
    trouble: str = ""
    look: Look | None = None
    _depths: dict[str, deque[float]] = field(default_factory=dict)
    _rates: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    _queued: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def see(self, look: Look) -> None:
        """Take what was seen."""
        self.look = look
        self.trouble = ""
        self._rates.append(look.total("completed_per_minute"))
        self._queued.append(look.total("queued_count"))
        known = {stats.name for stats in look.queues}
        for gone in self._depths.keys() - known:
            del self._depths[gone]
        for stats in look.queues:
            past = self._depths.setdefault(stats.name, deque(maxlen=HISTORY))
            past.append(stats.queued_count + stats.waiting_count)

    def press(self, key: str) -> bool:
        """Answer a key; false when it means the end."""
        match key:
            case "q" | "\x03" | "\x04":
                return False
            case " " | "p":
                self.held = not self.held
            case "s":
                names = list(SORTS)
                self.sort = names[(names.index(self.sort) + 1) % len(names)]
            case "up" | "k":
                self.first = max(self.first - 1, 0)
            case "down" | "j":
                self.first += 1
            case "home" | "g":
                self.first = 0
        return True

    def draw(self, width: int, height: int) -> Any:  # noqa: ANN401 - of rich
        """Return the screen for rich.

        Args:
            width: columns of the terminal.
            height: its lines.
        """
        from rich.console import Group  # noqa: PLC0415 - an extra
        from rich.text import Text  # noqa: PLC0415 - an extra

        def line(*words: Word) -> Text:
            made = Text.assemble(*((word.text, RICH[word.tone]) for word in words))
            made.truncate(width, overflow="ellipsis")
            return made

        look = self.look
        if look is None:
            return line(Word(self.trouble or "looking …", "quiet"))
        clock = look.at.astimezone().strftime("%H:%M:%S")
        state = "held" if self.held else f"every {self.every:g} s"
        room = max(width - len(self.title) - len(clock) - len(state) - 5, 1)
        rows = sorted(look.queues, key=lambda stats: (SORTS[self.sort](stats), stats.name))
        space = max(height - _MARGIN, 1)
        self.first = max(min(self.first, len(rows) - space), 0)
        shown = rows[self.first : self.first + space]
        columns, cells = self._table(shown, width)
        return Group(
            line(
                Word(f" {self.title}", "strong"),
                Word(" " * room + clock + "  ", "quiet"),
                Word(state, "notice" if self.held else "quiet"),
            ),
            line(*self._totals(look)),
            line(*self._graph(width)),
            Text(),
            rich_table(columns, cells, fold=False)
            if shown
            else line(Word(" There are no queues.", "quiet")),
            *(Text() for _ in range(space - len(shown))),
            line(*self._news()),
            line(
                Word(" q", "strong"),
                Word(" quit   ", "quiet"),
                Word("s", "strong"),
                Word(f" sort: {self.sort}   ", "quiet"),
                Word("space", "strong"),
                Word(" hold   ", "quiet"),
                Word("↑↓", "strong"),
                Word(" scroll", "quiet"),
                Word(
                    f"   {self.first + 1} to {self.first + len(shown)} of {len(rows)} queues"
                    if len(rows) > space
                    else "",
                    "quiet",
                ),
            ),
        )

    def _totals(self, look: Look) -> list[Word]:
        alive = sum(worker.alive for worker in look.workers)
        failed = look.total("failed_per_minute")
        dead = look.total("dead_count")
        return [
            Word(" "),
            *figure(number(look.total("queued_count")), "queued"),
            *figure(number(look.total("active_count")), "running"),
            *figure(number(look.total("waiting_count")), "waiting"),
            *figure(number(look.total("deferred_count")), "deferred"),
            *figure(number(dead), "dead", "bad" if dead else ""),
            *figure(rate(look.total("completed_per_minute")), "done/min", "good"),
            *figure(rate(failed), "failed/min", "bad" if failed else ""),
            *figure(number(alive), "worker" if alive == 1 else "workers", "" if alive else "bad"),
        ]

    def _graph(self, width: int) -> list[Word]:
        room = max(min(HISTORY, (width - 24) // 2), 1)
        return [
            Word(" done/min ", "quiet"),
            Word(sparkline(self._rates, room), "good"),
            Word("   queued ", "quiet"),
            Word(sparkline(self._queued, room)),
        ]

    def _news(self) -> list[Word]:
        if self.trouble:
            return [Word(f" {self.trouble}", "bad")]
        warnings = self.look.warnings if self.look else ()
        if warnings:
            first = warnings[0]
            more = f" and {len(warnings) - 1} more: arvo-plpg doctor" if len(warnings) > 1 else ""
            return [Word(f" ⚠ {first.topic}: {first.detail}", "notice"), Word(more, "quiet")]
        return [Word("")]

    def _table(
        self, shown: Sequence[QueueStats], width: int
    ) -> tuple[list[Column], list[list[Word]]]:
        wide = width >= _WIDE
        columns = [
            Column(" QUEUE", shrinks=True),
            Column("QUEUED", right=True),
            Column("HISTORY"),
            Column("OLDEST", right=True),
            Column("RUNNING", right=True),
            Column("DONE/MIN", right=True),
            Column("FAILED/MIN", right=True),
            Column("DEAD", right=True),
            Column("STATE"),
        ]
        if wide:
            columns[7:7] = [
                Column("WAIT P95", right=True),
                Column("RUN P95", right=True),
                Column("DEFERRED", right=True),
            ]
        cells = []
        for stats in shown:
            late = stats.queued_count + stats.waiting_count > stats.warning_queue_size
            row = [
                Word(f" {stats.name}", "strong" if stats.queued_count + stats.active_count else ""),
                count(stats.queued_count + stats.waiting_count, bad=late),
                Word(sparkline(self._depths[stats.name], 14 if wide else 8), "quiet"),
                Word(span(stats.oldest_queued_age), "" if stats.oldest_queued_age else "quiet"),
                count(stats.active_count),
                _rate(stats.completed_per_minute, "good"),
                _rate(stats.failed_per_minute, "bad"),
                count(stats.dead_count, bad=True, exact=stats.exact),
                state_of(stats),
            ]
            if wide:
                row[7:7] = [
                    Word(span(stats.wait_p95), "" if stats.wait_p95 else "quiet"),
                    Word(span(stats.run_p95), "" if stats.run_p95 else "quiet"),
                    count(stats.deferred_count),
                ]
            cells.append(row)
        return columns, cells


def _rate(value: float, tone: Any) -> Word:  # noqa: ANN401 - a Tone
    return Word(rate(value), tone) if value else Word("0", "quiet")


def figure(value: str, name: str, tone: Any = "") -> list[Word]:  # noqa: ANN401 - a Tone
    """Return a figure and what it counts."""
    return [Word(value, tone or "strong"), Word(f" {name}   ", "quiet")]


def sparkline(values: Sequence[float] | deque[float], room: int) -> str:
    """Return the newest values as a line of blocks; the highest one fills its block."""
    newest = list(values)[-room:]
    top = max(newest, default=0)
    return "".join(
        SPARK[0] if top <= 0 else SPARK[min(int(value / top * (len(SPARK) - 1) + 0.5), 7)]
        for value in newest
    )


def now() -> datetime:
    """Return the present, by this computer's clock."""
    return datetime.now(UTC)
