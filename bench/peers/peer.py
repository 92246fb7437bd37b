"""Peer: what the harness has to know about a queue to run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Configuration:
    """One way to run a peer.

    Attributes:
        name: ``default`` or the name of another one.
        settings: for its driver.
        says: the settings in words, for the table.
        guess: handlers per second, roughly; only decides how much work the first round gets.
        batch: whether a handler is given many at once; measured in drain only.
    """

    name: str
    settings: dict[str, Any]
    says: str
    guess: int
    batch: bool = False


@dataclass(frozen=True)
class Peer:
    """A queue on PostgreSQL.

    Attributes:
        name: as in the tables; also the name of its package here.
        kind: what its driver is written in; ``own`` runs in our own environment.
        requires: what is installed, by the names of the registry.
        shows: the packages whose versions are reported.
        configurations: ways to run it, its default first.
        contract: what it promises where that differs from the others; for the table.
        recovery: seconds until its default configuration takes work back from a dead worker;
            None: never by itself, or only after minutes.
        bulk: whether it can enqueue many in one call.
        deep: whether a backlog of a million is within its reach here.
        missing: why it cannot be run at all, when that is known beforehand.
    """

    name: str
    kind: Literal["own", "python", "node"]
    requires: tuple[str, ...]
    shows: tuple[str, ...]
    configurations: tuple[Configuration, ...]
    contract: str
    recovery: float | None = None
    bulk: bool = True
    deep: bool = True
    missing: str = ""

    @property
    def fast(self) -> Configuration:
        """The fastest way to run it with a handler for each event: the last of those."""
        return [known for known in self.configurations if not known.batch][-1]

    def configuration(self, name: str) -> Configuration:
        """The configuration of that name."""
        return next(known for known in self.configurations if known.name == name)
