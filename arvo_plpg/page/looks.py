"""Looks: how times, durations and numbers are written."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from arvo_plpg.subject import ArvoOrchestrationSubject

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "\u2013"
"""Written where there is nothing."""

_SECOND = 1.0
_STEPS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def duration(span: timedelta | float | None) -> str:
    """Write a duration in its two largest units."""
    if span is None:
        return NONE
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < _SECOND:
        milliseconds = seconds * 1000
        return f"{milliseconds:.0f} ms" if milliseconds >= 1 or not seconds else "< 1 ms"
    for size, unit in _STEPS:
        if seconds >= size:
            smaller = {"d": (3600.0, "h"), "h": (60.0, "min"), "min": (1.0, "s")}[unit]
            rest = int(seconds % size / smaller[0])
            return f"{int(seconds // size)} {unit}" + (f" {rest} {smaller[1]}" if rest else "")
    return f"{seconds:.1f} s".replace(".0 ", " ") if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004


def ago(moment: datetime | None) -> str:
    """Write how long ago, or in how long, something is."""
    if moment is None:
        return NONE
    passed = datetime.now(UTC) - moment
    return f"in {duration(-passed)}" if passed < timedelta(0) else f"{duration(passed)} ago"


def moment(at: datetime | None) -> str:
    """Write a time, in UTC."""
    return NONE if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def number(count: float | None) -> str:
    """Write a number with thin spaces."""
    if count is None:
        return NONE
    text = f"{count:,.0f}" if abs(count) >= 10 or count == int(count) else f"{count:.1f}"  # noqa: PLR2004
    return text.replace(",", "\u202f")


def short(text: str | None, most: int = 48) -> str:
    """Cut a text in the middle."""
    if text is None:
        return NONE
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[-half:]}"


def rounded(text: str) -> str:
    """Write an interval of PostgreSQL without the fraction of its seconds."""
    return re.sub(r"(\d\d:\d\d:\d\d)\.\d+$", r"\1", text)


def subject_name(subject: str) -> str:
    """Write what a subject is: the workflow and the beginning of its id, if it is one of ours."""
    try:
        parsed = ArvoOrchestrationSubject.parse(subject)
    except ValueError:
        return short(subject)
    return f"{parsed.orchestrator.name} {parsed.execution.id[:8]}"


def query(path: str, **fields: object) -> str:
    """Give the address of a page."""
    given = {name: str(value) for name, value in fields.items() if value not in {None, ""}}
    return f"{path}?{urlencode(given)}" if given else path


def pretty(data: Mapping[str, Any] | None) -> str:
    """Write JSON to be read."""
    return "" if data is None else json.dumps(data, indent=2, ensure_ascii=False, default=str)
