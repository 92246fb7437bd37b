"""Chart: bars and lines as SVG, drawn from recorded figures and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLOURS = (
    "#1b6ca8",
    "#d1495b",
    "#2e933c",
    "#edae49",
    "#6a4c93",
    "#00798c",
    "#8d6a4f",
    "#7a7a7a",
    "#c05299",
    "#4c5c2d",
)
_WIDTH = 760
_LEFT = 210
# The colours of a light page stand in the attributes; a dark one has its own.
_STYLE = (
    "<style>@media (prefers-color-scheme: dark) {"
    " .back { fill: #0d1117 } text { fill: #e6edf3 } .unit { fill: #9aa4af }"
    " .grid { stroke: #30363d } .peer { fill: #57606a } .ours { fill: #4c9be8 }"
    " .spread { stroke: #e6edf3 } }</style>"
)
_FONT = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True)
class Bar:
    """One bar: what it is of, its length, and how far the rounds lie apart."""

    label: str
    value: float
    least: float
    most: float
    ours: bool


@dataclass(frozen=True)
class Line:
    """One line over time."""

    label: str
    points: Sequence[tuple[float, float]]


def bars(title: str, unit: str, given: Sequence[Bar]) -> str:
    """Horizontal bars on a logarithmic axis if the values lie far apart, with their spreads."""
    left, right, top, step = _LEFT, 90, 46, 24
    height = top + step * len(given) + 30
    most = max(bar.most for bar in given)
    least = min(bar.value for bar in given if bar.value > 0)
    logarithmic = most / least > 50  # noqa: PLR2004  more than a linear axis can show
    floor = 10 ** math.floor(math.log10(least) - 0.2) if logarithmic else 0.0

    def place(value: float) -> float:
        if logarithmic:
            share = math.log(max(value, floor) / floor) / math.log(most / floor)
        else:
            share = value / most
        return left + share * (_WIDTH - left - right)

    parts = [_head(title + (" (logarithmic)" if logarithmic else ""), unit, height)]
    for number, bar in enumerate(given):
        y = top + number * step
        colour = f"class='ours' fill='{_COLOURS[0]}'" if bar.ours else "class='peer' fill='#a9b4c0'"
        end = place(bar.value)
        parts.append(_text(left - 8, y + 13, bar.label, anchor="end", bold=bar.ours))
        parts.append(
            f"<rect x='{left}' y='{y + 2}' width='{max(end - left, 1):.1f}' height='{step - 8}' "
            f"{colour}/>"
        )
        if bar.most > bar.least:
            parts.append(
                f"<line class='spread' x1='{place(bar.least):.1f}' x2='{place(bar.most):.1f}' "
                f"y1='{y + 10}' y2='{y + 10}' stroke='#222' stroke-width='1.5'/>"
            )
        parts.append(_text(max(end, place(bar.most)) + 6, y + 13, _short(bar.value)))
    return "\n".join([*parts, "</svg>\n"])


def lines(title: str, unit: str, given: Sequence[Line]) -> str:
    """Lines over seconds."""
    left, right, top, plot = 64, 170, 46, 260
    height = top + plot + 40
    last = max(at for line in given for at, _ in line.points)
    digits = 0 if last >= 8 else 1  # noqa: PLR2004  a quarter of less is no whole second
    most = _round_up(max(value for line in given for _, value in line.points) or 1.0)

    def x(at: float) -> float:
        return left + at / last * (_WIDTH - left - right)

    def y(value: float) -> float:
        return top + plot - value / most * plot

    parts = [_head(title, unit, height)]
    for quarter in range(5):
        value = most * quarter / 4
        level = f"{y(value):.1f}"
        parts.append(
            f"<line class='grid' x1='{left}' x2='{_WIDTH - right}' y1='{level}' y2='{level}' "
            "stroke='#e3e6ea'/>"
        )
        parts.append(_text(left - 6, y(value) + 4, _short(value), anchor="end"))
        parts.append(
            _text(x(last * quarter / 4), top + plot + 18, f"{last * quarter / 4:.{digits}f} s")
        )
    for number, line in enumerate(given):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in line.points)
        parts.append(
            f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>"
        )
        parts.append(
            f"<rect x='{_WIDTH - right + 14}' y='{top + 20 * number}' width='12' height='12' "
            f"fill='{colour}'/>"
        )
        parts.append(_text(_WIDTH - right + 32, top + 20 * number + 11, line.label))
    return "\n".join([*parts, "</svg>\n"])


def _head(title: str, unit: str, height: int) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' "
        f"viewBox='0 0 {_WIDTH} {height}'>\n{_STYLE}\n"
        "<rect class='back' width='100%' height='100%' fill='white'/>\n"
        f"<text x='12' y='20' {_FONT} font-size='14' font-weight='600'>{escape(title)}</text>\n"
        f"<text class='unit' x='12' y='36' {_FONT} font-size='11' fill='#555'>{escape(unit)}</text>"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = " font-weight='600'" if bold else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' {_FONT} font-size='11' text-anchor='{anchor}'{weight}>"
        f"{escape(text)}</text>"
    )


def _round_up(value: float) -> float:
    """The next figure whose quarters are round."""
    scale: float = 10 ** math.floor(math.log10(value))
    return next(
        step * scale for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * scale >= value
    )


def _short(value: float) -> str:
    if value >= 10_000:  # noqa: PLR2004
        return f"{value / 1000:,.0f} k"
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:,.1f}" if value >= 2 else f"{value:,.2f}"  # noqa: PLR2004
