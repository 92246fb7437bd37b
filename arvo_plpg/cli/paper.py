"""Paper: where a command writes: words with a tone, tables, and JSON.

Colour only on a terminal, and not with ``NO_COLOR``. On a terminal a table is fitted to its width,
by rich where that is installed; elsewhere nothing is ever cut.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal, TextIO

from arvo_plpg.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Tone = Literal["", "strong", "quiet", "good", "notice", "bad"]
_ANSI: dict[Tone, str] = {
    "strong": "1",
    "quiet": "2",
    "good": "32",
    "notice": "33",
    "bad": "31",
}
RICH: dict[Tone, str] = {
    "": "",
    "strong": "bold",
    "quiet": "dim",
    "good": "green",
    "notice": "yellow",
    "bad": "red",
}
"""The tones, as styles of rich."""


@dataclass(frozen=True, slots=True)
class Word:
    """A text and its tone; what is unprintable in it is escaped when it is made.

    Args:
        text: the text.
        tone: how it looks on a terminal that has colours.
    """

    text: str
    tone: Tone = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", plain(self.text))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        title: its head.
        right: numbers stand on the right.
        shrinks: where a terminal is too narrow, this one gives way.
    """

    title: str
    right: bool = False
    shrinks: bool = False


Cell = str | Word


def as_word(cell: Cell) -> Word:
    """Return a cell as a word."""
    return cell if isinstance(cell, Word) else Word(cell)


def has_colour(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that shows colours, and nobody has forbidden them."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(*cells: Cell) -> None:
    """Print a line on standard output."""
    sys.stdout.write(_coloured(map(as_word, cells), has_colour(sys.stdout)) + "\n")


def _coloured(words: Iterable[Word], colour: bool) -> str:  # noqa: FBT001
    return "".join(
        f"\x1b[{_ANSI[word.tone]}m{word.text}\x1b[0m" if colour and word.tone else word.text
        for word in words
    )


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table on standard output; its head alone when there is no row."""
    words = [[as_word(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        try:
            import rich  # noqa: F401, PLC0415 - an extra
        except ImportError:
            pass
        else:
            _rich_table(columns, words)
            return
    sys.stdout.write("".join(line + "\n" for line in lines_of(columns, words)))


def lines_of(columns: Sequence[Column], rows: Sequence[Sequence[Word]]) -> list[str]:
    """Return the lines of a table in columns of equal width."""
    colour = has_colour(sys.stdout)
    head = [Word(column.title, "quiet") for column in columns]
    widths = [
        max(width_of(row[number].text) for row in (head, *rows)) for number in range(len(columns))
    ]
    lines = []
    for row in (head, *rows):
        parts = []
        for column, word, width in zip(columns, row, widths, strict=True):
            room = " " * (width - width_of(word.text))
            shown = _coloured([word], colour)
            parts.append(room + shown if column.right else shown + room)
        lines.append("  ".join(parts).rstrip())
    return lines


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[Word]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - an extra

    Console(highlight=False, no_color=not has_colour(sys.stdout)).print(rich_table(columns, rows))


def rich_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Word]], *, fold: bool = True
) -> Any:  # noqa: ANN401 - of rich
    """Return a table for rich, without lines, as calm as a plain one.

    Args:
        columns: its columns.
        rows: their words.
        fold: what is too long goes on in the next line; if not, it is cut.
    """
    from rich.table import Table  # noqa: PLC0415 - an extra
    from rich.text import Text  # noqa: PLC0415 - an extra

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.shrinks,
            overflow="fold" if column.shrinks and fold else "ellipsis",
        )
    for row in rows:
        made.add_row(*(Text(word.text, RICH[word.tone]) for word in row))
    return made


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in text
    )


def as_plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a row as JSON can say it: durations in seconds, times in ISO 8601."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return value


def document(value: Mapping[str, object]) -> None:
    """Print one JSON document, over several lines, in ASCII."""
    sys.stdout.write(json.dumps(as_plain(dict(value)), indent=2) + "\n")


def json_line(value: object) -> str:
    """Return a value as one line of JSON, in ASCII, with its line end."""
    return json.dumps(as_plain(value), separators=(",", ":")) + "\n"
