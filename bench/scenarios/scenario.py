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
        rates: what was seen before, by peer, configuration and case; sizes the next round.
        templates: databases with a peer in them, by peer and configuration.
    """

    server: Server
    environments: dict[str, Environment]
    mode: Mode
    rates: dict[tuple[str, str, str], float] = field(default_factory=dict)
    templates: dict[tuple[str, str], str] = field(default_factory=dict)

    def configurations(self) -> Iterator[tuple[Peer, Configuration]]:
        """Every configuration of every peer that is there."""
        for name in self.environments:
            for configuration in PEERS[name].configurations:
                yield PEERS[name], configuration

    def best(self) -> Iterator[tuple[Peer, Configuration]]:
        """The default of ours, and the fast configuration of every peer."""
        for name in self.environments:
            peer = PEERS[name]
            yield peer, peer.configurations[0] if name == "arvo" else peer.fast

    def leaders(self, count: int) -> Iterator[tuple[Peer, Configuration]]:
        """The default of ours, and the peers that have drained fastest; the floor comes on top."""
        rivals = [(peer, known) for peer, known in self.best() if peer.name not in {"arvo", "raw"}]

        def drained(one: tuple[Peer, Configuration]) -> float:
            peer, known = one
            return self.rates.get((peer.name, known.name, ""), known.guess)

        kept = sorted(rivals, key=drained, reverse=True)[:count]
        for peer, known in self.best():
            if (peer, known) in kept or peer.name in {"arvo", "raw"}:
                yield peer, known

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
        return stack.enter_context(
            Session(self.environments[cell.peer], configuration, database.dsn)
        )

    @contextlib.contextmanager
    def prepared(self, cell: Cell) -> Iterator[tuple[Database, Session, contextlib.ExitStack]]:
        """A database with the cell's peer installed, a producer, and where to leave more."""
        with (
            self.server.database(self.template(cell)) as database,
            contextlib.ExitStack() as stack,
        ):
            yield database, self.session(cell, database, stack), stack

    def template(self, cell: Cell) -> str:
        """The name of a database in which the cell's peer is installed, made once."""
        key = (cell.peer, cell.configuration)
        if key not in self.templates:

            def furnish(database: Database) -> None:
                with contextlib.ExitStack() as stack:
                    self.session(cell, database, stack).ask("setup")

            self.templates[key] = self.server.template(furnish)
        return self.templates[key]

    def size(self, cell: Cell, seconds: float) -> int:
        """How many events keep the cell's peer busy for so long, as far as one can tell."""
        guess = PEERS[cell.peer].configuration(cell.configuration).guess
        plain = self.rates.get((cell.peer, cell.configuration, ""), guess)
        rate = self.rates.get((cell.peer, cell.configuration, cell.case), plain)
        return max(_LEAST, min(_MOST, int(rate * seconds)))


METERS = (
    Column("wal", "WAL bytes/event"),
    Column("client_cpu", "client CPU s/10 k", 2),
    Column("server_cpu", "server CPU s/10 k", 2),
)
"""Columns of :meth:`Meter.read`."""


class Scenario(ABC):
    """One thing that is measured.

    Attributes:
        name: in the record and on the command line.
        title: over its table.
        says: how to read it.
        columns: of its table.
        chart: which column is drawn, if any.
        reach: the column to which a line is drawn from there: a higher percentile.
        one_chart: whether all cases are drawn in one; otherwise each has its own.
        steady: whether it claims for a while that ought to outlast a lease.
    """

    name: str
    title: str
    says: str
    columns: tuple[Column, ...]
    chart: str = ""
    reach: str = ""
    one_chart: bool = False
    steady: bool = False

    def rounds(self, mode: Mode) -> int:
        """How often each cell is measured."""
        return mode.fewer_rounds

    @abstractmethod
    def cells(self, context: Context) -> list[Cell]:
        """What is measured, in the order of the interleaving."""

    def length(self, mode: Mode) -> float:
        """For how many seconds it claims, if it is a steady state."""
        return mode.seconds

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """Measure once.

        Raises:
            DriverError: the peer could not do it; the message is reported.
        """
        raise NotImplementedError

    def measure(self, context: Context, cell: Cell) -> Iterator[tuple[Cell, Values, Series]]:
        """Measure once; several cells, where they are measured side by side."""
        yield (cell, *self.run(context, cell))


class Meter:
    """What the server and these processes use from now on.

    Args:
        database: of the server; all of its processes count.
        sessions: whose client CPU counts.
    """

    def __init__(self, database: Database, *sessions: Session) -> None:
        self._database = database
        self._sessions = sessions
        self._log = database.wal_bytes()
        self._client = self._client_seconds()
        self._server = database.cpu_seconds()

    def _client_seconds(self) -> float:
        return sum(session.cpu_seconds() for session in self._sessions)

    def read(self, count: float, begun: float = 0.0) -> Values:
        """CPU per 10 k events and log per event.

        Args:
            count: events so far.
            begun: events before the clock of the CPU was started, by :meth:`start_clock`.
        """
        client = self._client_seconds() - self._client
        server = self._database.cpu_seconds() - self._server
        values = {
            "wal": (self._database.wal_bytes() - self._log) / count,
            "server_cpu": 1e4 * server / (count - begun),
        }
        return values | ({"client_cpu": 1e4 * client / (count - begun)} if self._sessions else {})

    def start_clock(self) -> None:
        """Let the CPU, but not the log, be counted from here."""
        self._client = self._client_seconds()
        self._server = self._database.cpu_seconds()


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
