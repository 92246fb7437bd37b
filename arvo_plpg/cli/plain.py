"""Plain: figures, times and errors in words for a line, and texts without their passwords."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from arvo_plpg.plain import plain

_CREDENTIALS = re.compile(r"(://[^\s:/@]*:)[^\s@]*(@)")
_PASSWORD = re.compile(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)")
_SECOND = timedelta(seconds=1)
_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


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
    return plain(text, 200)
