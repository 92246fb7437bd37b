"""Scenario: one thing that is measured, and the help that all of them need."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.peers import PEERS
from bench.session import DriverError, Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.environment import Environment
    from bench.mode import Mode
    from bench.peers.peer import Configuration, Peer
    from bench.server import Database, Server
    from bench.tally import Tally

CONCURRENCY = 10
FAST = "fast"
_MOST = 600_000
_LEAST = 30

Values = dict[str, float]
Series = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Cell:
    """What one measurement is of."""

    peer: str
    configuration: str
    case: str = ""


@dataclass(frozen=True)
class Column:
    """A figure of a scenario's table: its name in the record, its heading, and its digits."""

    name: str
    heading: str
    digits: int = 0


@dataclass
class Context:
    """What scenarios work with.

    Attributes:
        server: where databases come from.
        environments: of the peers that could be installed.
        mode: how much to measure.
        rates: what was seen before, to size the next round.
    """

    server: Server
    environments: dict[str, Environment]
    mode: Mode
    rates: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def configurations(self) -> Iterator[tuple[Peer, Configuration]]:
        """Every configuration of every peer that is there."""
        for name in self.environments:
            for configuration in PEERS[name].configurations:
                yield PEERS[name], configuration

    def best(self) -> Iterator[tuple[Peer, Configuration]]:
        """The default of ours, and the last, fastest configuration of every peer."""
        for name in self.environments:
            peer = PEERS[name]
            yield peer, peer.configurations[0 if name == "arvo" else -1]

    def session(
        self, cell: Cell, database: Database, stack: contextlib.ExitStack, **settings: object
    ) -> Session:
        """A driver of the cell's peer, ended with the stack."""
        configuration = PEERS[cell.peer].configuration(cell.configuration)
        if settings:
            configuration = type(configuration)(
                configuration.name,
                configuration.settings | settings,
                configuration.says,
                configuration.guess,
            )
        session = stack.enter_context(
            Session(self.environments[cell.peer], configuration, database.dsn)
        )
        session.ask("ready")
        return session

    @contextlib.contextmanager
    def prepared(self, cell: Cell) -> Iterator[tuple[Database, Session, contextlib.ExitStack]]:
        """A database with the cell's peer installed, a producer, and where to leave more."""
        with self.server.database() as database, contextlib.ExitStack() as stack:
            with contextlib.ExitStack() as brief:
                self.session(cell, database, brief).ask("setup")
            yield database, self.session(cell, database, stack), stack

    def size(self, cell: Cell, seconds: float) -> int:
        """How many events keep the cell's peer busy for so long, as far as one can tell."""
        guess = PEERS[cell.peer].configuration(cell.configuration).guess
        rate = self.rates.get((cell.peer, cell.configuration, cell.case), guess)
        return max(_LEAST, min(_MOST, int(rate * seconds)))


class Scenario(ABC):
    """One thing that is measured.

    Attributes:
        name: in the record and on the command line.
        title: over its table.
        says: how to read it.
        columns: of its table.
        chart: which column is drawn, if any.
        steady: whether it claims for ``mode.seconds`` and must outlast a lease.
    """

    name: str
    title: str
    says: str
    columns: tuple[Column, ...]
    chart: str = ""
    steady: bool = False

    def rounds(self, mode: Mode) -> int:
        """How often each cell is measured."""
        return mode.fewer_rounds

    @abstractmethod
    def cells(self, context: Context) -> list[Cell]:
        """What is measured, in the order of the interleaving."""

    @abstractmethod
    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """Measure once.

        Raises:
            DriverError: the peer could not do it; the message is reported.
        """


def fill(cell: Cell, producer: Session, count: int, *, first: int = 0) -> None:
    """Enqueue so many as fast as the peer's API allows."""
    if PEERS[cell.peer].bulk:
        producer.send(count, first=first, batch=1000)
    else:
        producer.send(count, first=first, connections=4)


def check_each_once(tallies: Sequence[Tally], count: int) -> Values:
    """Count what the handlers noted themselves.

    Raises:
        DriverError: some did not run.
    """
    distinct: set[float] = set()
    total = 0
    for tally in tallies:
        distinct.update(tally.numbers)
        total += len(tally)
    if len(distinct) != count:
        raise DriverError(f"{count - len(distinct)} of {count} handlers did not run")
    return {"handled": float(len(distinct)), "twice": float(total - len(distinct))}


def rate(tallies: Sequence[Tally], count: int | None = None) -> float:
    """Handlers per second, between the first and the last of the first ``count``."""
    times = sorted(time for tally in tallies for time in tally.times)[:count]
    return (len(times) - 1) / max(times[-1] - times[0], 1e-9)
