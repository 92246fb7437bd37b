"""Crash: one of two workers is killed in the middle of its work."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers import PEERS
from bench.scenarios.scenario import (
    CONCURRENCY,
    Cell,
    Column,
    Context,
    Scenario,
    Series,
    Values,
    fill,
)
from bench.session import DriverError, wait_counts
from bench.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAUSE = 0.005
_SHARE = 0.3


class Crash(Scenario):
    """How long until the work of the dead is done, and what ran twice."""

    name = "crash"
    title = "A worker is killed"
    says = (
        "Two workers, handlers of 5 ms; one is killed (SIGKILL) when three tenths are done. "
        "Seconds from the kill until every event was handled at least once; how many were handled "
        "twice; how many were not handled within the patience of the mode."
    )
    columns = (
        Column("seconds", "seconds to the last", 1),
        Column("twice", "run twice"),
        Column("lost", "not recovered"),
        Column("patience", "patience s"),
    )

    def cells(self, context: Context) -> list[Cell]:
        """The defaults of those who recover within the patience."""
        return [
            Cell(peer.name, known.name)
            for peer, known in context.configurations()
            if known is peer.configurations[0]
            if peer.name != "raw" and _recovers(peer.name, context.mode.crash_patience)
        ]

    def run(self, context: Context, cell: Cell) -> tuple[Values, Series]:
        """Kill one, wait for the other."""
        count, patience = context.mode.crash_events, context.mode.crash_patience
        with context.prepared(cell) as (database, producer, stack):
            fill(cell, producer, count)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            journals = [folder / "dead", folder / "alive"]
            workers = [context.session(cell, database, stack) for _ in journals]
            for worker, journal in zip(workers, journals, strict=True):
                worker.say("work", concurrency=CONCURRENCY, pause=_PAUSE, journal=str(journal))
            if not wait_counts(workers, int(_SHARE * count), 60.0):
                raise DriverError("the workers did not get far enough to kill one")
            workers[0].kill()
            killed = time.monotonic()
            while (
                len(_handled(journals)) < count
                and time.monotonic() - killed < patience + count * _PAUSE / CONCURRENCY
            ):
                time.sleep(0.1)
            firsts = _handled(journals)
            total = sum(len(Tally.read(journal)) for journal in journals)
        return {
            "seconds": max(firsts.values()) - killed,
            "twice": float(total - len(firsts)),
            "lost": float(count - len(firsts)),
            "patience": patience,
        }, {}


def _recovers(name: str, patience: float) -> bool:
    recovery = PEERS[name].recovery
    return recovery is not None and recovery <= patience


def _handled(journals: Sequence[Path]) -> dict[int, float]:
    together = Tally()
    for journal in journals:
        together.extend(Tally.read(journal))
    return together.firsts()
