"""PageOptions: what is shown, to whom, and what may be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from arvo_plpg.errors import InvalidOption

SHORTEST_TOKEN: Final = 16


@dataclass(frozen=True, slots=True)
class PageOptions:
    """What is shown, to whom, and what may be done.

    Attributes:
        dsn: the database.
        schema: name of the installation.
        hosts: names that the page may be asked for by, without a port; any other is refused.
        token: what operators sign in with; at least 16 characters.
        protect_reading: whether reading needs the token, too.
        allow_actions: whether those who have signed in may redrive, discard, pause and resume.
        show_payloads: whether data of events is shown.
        pool_size: most connections to the database.
        sample_seconds: how often the figures of charts are taken.

    Raises:
        InvalidOption: the token is too short, or missing where it is needed.
    """

    dsn: str = field(repr=False)
    schema: str = "arvo"
    hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost", "[::1]"})
    token: str | None = field(default=None, repr=False)
    protect_reading: bool = False
    allow_actions: bool = False
    show_payloads: bool = False
    pool_size: int = 3
    sample_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.token is None:
            if self.protect_reading or self.allow_actions:
                raise InvalidOption(
                    "a token is missing",
                    hint="Actions, and a page that others can reach, need one.",
                    field="token",
                )
        elif len(self.token) < SHORTEST_TOKEN:
            raise InvalidOption(
                "the token is too short",
                hint=f"Use {SHORTEST_TOKEN} characters or more, such as: openssl rand -hex 16",
                field="token",
            )
