"""Plain: a text of somebody else's, safe to stand on a line of ours.

What comes from a database, from an event or from another's error may hold anything. A control
character in it could move a cursor, change colours, retitle a window or forge a line of a log, and
an override of the direction of writing could make it read as something else. So nothing is shown
that is not printable.
"""

from __future__ import annotations

import re

_SUSPECT = re.compile(r"[^\x20-\x7e]")


def plain(value: object, most: int | None = None) -> str:
    r"""Return a text on one line in which what is not printable is escaped, ``\x1b`` say.

    Args:
        value: the text, or what is written as one.
        most: how many characters of it are shown, an ellipsis for the rest among them.
    """
    text = str(value)
    if most is not None and len(text) > most:
        text = f"{text[: most - 1]}…"
    return _SUSPECT.sub(_escaped, text)


def plain_lines(text: str) -> str:
    """Return a text of several lines in which only the line ends are left as they are."""
    return "\n".join(map(plain, text.split("\n")))


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
