"""Plain: values as words that are safe to show.

What comes from a database is somebody else's text. A control character in it could move the
cursor, change colours, retitle the window or forge a line, and an override of the direction of
writing could make it read as something else. So nothing is shown that is not printable.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_CREDENTIALS = re.compile(r"(://[^\s:/@]*:)[^\s@]*(@)")
_PASSWORD = re.compile(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)")
_SECOND = timedelta(seconds=1)
_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def plain(value: object) -> str:
    r"""Return a text on one line in which what is not printable is escaped, ``\x1b`` say."""
    return _UNPRINTABLE.sub(_escaped, str(value))


def plain_lines(text: str) -> str:
    """Return a text of several lines in which only the line ends are left as they are."""
    return "\n".join(map(plain, text.split("\n")))


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def without_passwords(text: str) -> str:
    """Return a text without the passwords of connection strings in it."""
    return _PASSWORD.sub(r"\1***", _CREDENTIALS.sub(r"\1***\2", text))


def number(value: int | None) -> str:
    """Return a count with its thousands marked, a dash for none."""
    return "-" if value is None else f"{value:,}"


def rate(value: float) -> str:
    """Return a rate, short."""
    return f"{value:,.0f}" if value >= 100 or not value else f"{value:,.1f}"  # noqa: PLR2004


def span(value: timedelta | None) -> str:
    """Return a duration in its two largest units, a dash for none."""
    if value is None:
        return "-"
    if value < timedelta():
        return "-" + span(-value)
    if value < _SECOND:
        milliseconds = value / timedelta(milliseconds=1)
        return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"  # noqa: PLR2004
    seconds = value.total_seconds()
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    for size, unit, part, smaller in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "m"),
        (_MINUTE, "m", 1, "s"),
    ):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return f"{whole}{unit} {rest // part}{smaller}"
    raise AssertionError(value)


def moment(value: datetime | None) -> str:
    """Return a time in this computer's zone, to the second; a dash for none."""
    return "-" if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(value: datetime | None) -> str:
    """Return how long ago a time is, by this computer's clock; a dash for none."""
    return "-" if value is None else span(max(datetime.now(UTC) - value, timedelta()))


def error_line(error: dict[str, object] | None) -> str:
    """Return name and message of a handler's error, shortened; nothing for none."""
    if not error:
        return ""
    words = [str(error[key]) for key in ("name", "message") if error.get(key)]
    text = ": ".join(words) or str(error)
    return plain(text if len(text) <= 200 else text[:199] + "…")  # noqa: PLR2004
