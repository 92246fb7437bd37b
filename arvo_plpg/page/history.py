"""History: the figures of the last minutes, for charts; kept in this process only."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arvo_plpg.rows import QueueStats

SAMPLES: Final = 120
MOST_QUEUES: Final = 500


class Sample(NamedTuple):
    """Figures of one queue, or of all, at one time."""

    at: float
    ready: int
    running: int
    completed: float
    failed: float


class History:
    """A ring of samples for each queue, and one for all."""

    def __init__(self) -> None:
        self._rings: dict[str, deque[Sample]] = {}

    def add(self, at: float, stats: Iterable[QueueStats]) -> None:
        """Take a sample; queues that are gone are forgotten, and so are those beyond the limit."""
        rings: dict[str, deque[Sample]] = {}
        total = Sample(at, 0, 0, 0.0, 0.0)
        for row in sorted(stats, key=lambda row: (-row.total_count, row.name)):
            sample = Sample(
                at,
                row.queued_count + row.waiting_count,
                row.active_count,
                row.completed_per_minute,
                row.failed_per_minute,
            )
            total = Sample(
                at,
                total.ready + sample.ready,
                total.running + sample.running,
                total.completed + sample.completed,
                total.failed + sample.failed,
            )
            if len(rings) < MOST_QUEUES:
                rings[row.name] = self._ring(row.name, sample)
        rings[""] = self._ring("", total)
        self._rings = rings

    def _ring(self, name: str, sample: Sample) -> deque[Sample]:
        ring = self._rings.get(name) or deque(maxlen=SAMPLES)
        ring.append(sample)
        return ring

    def of(self, queue: str = "") -> Sequence[Sample]:
        """Give the samples of a queue, or of all together."""
        return list(self._rings.get(queue, ()))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart, as points of an SVG."""

    name: str
    points: str
    area: str
    last: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of lines over the same time.

    Attributes:
        width: of the drawing.
        height: of the drawing.
        top: the value at its upper edge.
        seconds: that it covers.
        lines: from behind to front.
    """

    width: int
    height: int
    top: float
    seconds: float
    lines: list[Line]


def chart(
    samples: Sequence[Sample], names: Sequence[str], *, width: int = 560, height: int = 120
) -> Chart | None:
    """Draw some figures of samples; None while there are fewer than two."""
    if len(samples) < 2:  # noqa: PLR2004
        return None
    first, last = samples[0].at, samples[-1].at
    seconds = max(last - first, 1.0)
    top = _round_up(max(getattr(sample, name) for sample in samples for name in names))
    lines = []
    for name in names:
        dots = [
            (
                (sample.at - first) / seconds * width,
                height - 2 - getattr(sample, name) / top * (height - 6),
            )
            for sample in samples
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        area = f"0,{height} {points} {width},{height}"
        lines.append(Line(name, points, area, getattr(samples[-1], name)))
    return Chart(width, height, top, seconds, lines)


def _round_up(value: float) -> float:
    """Give 1, 2 or 5 times a power of ten that is at least so much."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    return next((power * step for step in (1, 2, 5) if power * step >= value), power * 10)
