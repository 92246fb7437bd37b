"""Matrix: every fault at every step of the way of an event; each cell ends with a verdict."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Self

from chaos.cluster import Cluster, small_disk, temporary_place
from chaos.fault import FAULTS, Aim, Fault
from chaos.proxy import Trap
from chaos.scene import Scene, TooLateError, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from chaos.checker import Verdict
    from chaos.fault import Stand
    from chaos.proxy import Call, Moment, Passing


_SMALL_MEGABYTES = 260
_FIRE_SECONDS = 30.0
_DRAIN_SECONDS = 45.0
_STOP_SECONDS = 20.0
_IDLE_SECONDS = 0.3


@dataclass(frozen=True)
class Step:
    """A step of the way of an event.

    Attributes:
        name: in the tables.
        victim: who makes it.
        call: the call whose moment it is; None when it is not a call.
        moment: which moment.
        holds: what an answer must contain.
        when: if it is no call: ``running``, ``idle`` or ``stopping``.
        hold: seconds that the victim's handlers take.
    """

    name: str
    victim: Literal["producer", "worker"]
    call: Call | None = None
    moment: Moment = "sent"
    holds: bytes = b""
    when: Literal["", "running", "idle", "stopping"] = ""
    hold: float = 0.02


STEPS: Final = (
    Step("dispatched, COMMIT not sent", "producer", "commit", "sent"),
    Step("dispatched, COMMIT not answered", "producer", "commit", "answered"),
    Step("claim sent", "worker", "claim", "sent"),
    Step("claim answered", "worker", "claim", "answered", b"claimed"),
    Step("handler running", "worker", when="running", hold=0.4),
    Step("settlement sent", "worker", "settle", "sent"),
    Step("settlement not answered", "worker", "settle", "answered"),
    Step("heartbeat", "worker", "heartbeat", "sent", hold=0.6),
    Step("idle, listening", "worker", when="idle"),
    Step("stopping", "worker", when="stopping", hold=0.4),
)


@dataclass(frozen=True)
class Cell:
    """One fault at one step.

    Attributes:
        step: the step.
        fault: the fault.
    """

    step: Step
    fault: Fault

    def __str__(self) -> str:
        return f"{self.fault.name} / {self.step.name}"


@dataclass(frozen=True)
class Result:
    """What became of a cell.

    Attributes:
        cell: which.
        verdict: the checker's; None if it never came to that.
        trouble: what else was wrong: somebody did not stop, or died that should not have.
        seconds: from the fault until nothing was open any more.
        skipped: why it was not tried.
    """

    cell: Cell
    verdict: Verdict | None = None
    trouble: str = ""
    seconds: float = 0.0
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Whether it was tried and nothing is wrong."""
        return self.verdict is not None and self.verdict.kept and not self.trouble

    def __str__(self) -> str:
        if self.skipped:
            return f"{self.cell}: SKIPPED, {self.skipped}"
        trouble = f"; {self.trouble}" if self.trouble else ""
        return f"{self.cell}: {self.verdict}, whole after {self.seconds:.1f} s{trouble}"


def cells(steps: Sequence[Step] = STEPS, faults: Sequence[Fault] = FAULTS) -> list[Cell]:
    """Give the cells of some steps and faults, those of one server together."""
    return [
        Cell(step, fault)
        for fault in sorted(faults, key=lambda fault: (fault.stand, FAULTS.index(fault)))
        for step in steps
    ]


class Matrix:
    """Runs cells, one after the other, on as few servers as they need.

    Args:
        seed: of the producers' choices.
        keep: a directory for the logs of cells that failed; None: they are thrown away.
    """

    def __init__(self, seed: int = 0, keep: Path | None = None) -> None:
        self._seed = seed
        self._keep = keep
        self._things = contextlib.ExitStack()
        self._cluster: Cluster | None = None
        self._follower: Cluster | None = None
        self._stand: Stand | None = None
        self._made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        for cluster in (self._follower, self._cluster):
            if cluster is not None:
                cluster.remove()
        self._cluster = self._follower = self._stand = None
        self._things.close()

    def _enter(self, stand: Stand) -> Cluster | None:
        """Have the server that a fault needs; None if it cannot be had."""
        if self._stand != stand:
            self._leave()
            if stand == "small disk":
                place = self._things.enter_context(small_disk(_SMALL_MEGABYTES))
            else:
                place = self._things.enter_context(temporary_place())
            if place is None:
                return None
            self._cluster = Cluster(place, "server-0")
            self._cluster.start()
            self._cluster.furnish()
            self._stand = stand
        return self._cluster

    def run(self, cell: Cell) -> Result:
        """Run one cell."""
        cluster = self._enter(cell.fault.stand)
        if cluster is None:
            return Result(cell, skipped="a file system of its own needs root and mount")
        self._made += 1
        with temporary_place() as place:
            scene = Scene(cluster, cluster.create(f"cell_{self._made}"), place)
            try:
                if cell.fault.stand == "pair":
                    self._follow(scene, synchronous="asynchronous" not in cell.fault.name)
                result = _Play(cell, scene, self._seed + self._made).run()
            finally:
                scene.close()
                self._cluster, self._follower = scene.cluster, scene.follower
                if scene.cluster is not cluster:
                    cluster.remove()
            if self._keep is not None and not result.passed:
                target = self._keep / str(cell).replace(" / ", "--").replace(" ", "_")
                shutil.copytree(place, target, dirs_exist_ok=True)
            scene.cluster.drop(scene.database)
        return result

    def _follow(self, scene: Scene, *, synchronous: bool) -> None:
        if self._follower is None:
            self._follower = scene.cluster.follower(f"server-{self._made}")
        scene.follower = self._follower
        scene.cluster.wait_for_follower(synchronous=synchronous)


class _Play:
    """One cell: who is in it, and what happens."""

    def __init__(self, cell: Cell, scene: Scene, seed: int) -> None:
        self._cell = cell
        self._scene = scene
        self._fired = threading.Event()
        self._began = 0.0
        step = cell.step
        own, others = scene.proxy(), scene.proxy()
        to_own, to_others = scene.dsn(own, cell.fault.options), scene.dsn(others)
        is_producer = step.victim == "producer"
        self._producer = scene.producer(
            "producer", to_own if is_producer else to_others, seed=seed, transactions=10, wait=True
        )
        self._first = scene.worker(
            "first", to_others if is_producer else to_own, wait=True, hold=step.hold
        )
        self._survivor = None if is_producer else scene.worker("survivor", to_others, wait=True)
        self._victim = self._producer if is_producer else self._first
        self._own = own
        self._aim = Aim(scene, self._victim, own)

    def run(self) -> Result:
        cell, scene = self._cell, self._scene
        try:
            self._come_to_the_step()
            self._go_on()
        except TooLateError as late:
            scene.end(_STOP_SECONDS)
            return Result(cell, scene.judge() if scene.cluster.runs else None, str(late))
        seconds = time.monotonic() - self._began
        trouble = []
        may_end = cell.fault.fatal or cell.step.when == "stopping"
        if self._victim is self._first and not may_end and not self._first.alive:
            trouble.append(f"the worker has left with code {self._first.code}")
        if late_ones := scene.end(_STOP_SECONDS):
            trouble.append(f"did not stop: {', '.join(late_ones)}")
        return Result(cell, scene.judge(), "; ".join(trouble), seconds)

    def _come_to_the_step(self) -> None:
        """Let everybody begin, and the fault happen at its moment."""
        step = self._cell.step
        self._first.go()
        wait_for(lambda: self._first.noted("working"), _FIRE_SECONDS, "the worker")
        trap = self._trap()
        if step.when == "idle":
            time.sleep(_IDLE_SECONDS)
            self._strike()
        if step.call != "claim":
            self._own.set(trap)
        self._producer.go()
        if step.call == "claim":  # which it makes all the time: one that has something to claim
            self._own.set(trap)
        if step.when in {"running", "stopping"}:
            wait_for(lambda: self._victim.noted("began"), _FIRE_SECONDS, "a handler")
            if step.when == "stopping":
                self._victim.send(signal.SIGTERM)
            self._strike()
        wait_for(self._fired.is_set, _FIRE_SECONDS, f"the step {step.name!r}")

    def _trap(self) -> Trap | None:
        step = self._cell.step
        if step.call is None:
            return None

        def spring(passing: Passing) -> None:
            self._cell.fault.begin(Aim(self._scene, self._victim, self._own, passing))

        return Trap(step.call, step.moment, spring, step.holds, self._fired)

    def _strike(self) -> None:
        self._cell.fault.begin(self._aim)
        self._fired.set()

    def _go_on(self) -> None:
        """Let the fault end, and the others finish the work."""
        self._began = time.monotonic()
        if self._survivor is not None:
            self._survivor.go()
        time.sleep(self._cell.fault.seconds)
        self._cell.fault.end(self._aim)
        wait_for(
            lambda: not self._producer.alive and self._scene.idle(),
            _DRAIN_SECONDS,
            "the end of the work",
        )


def run(chosen: Sequence[Cell], seed: int, keep: Path | None = None) -> Iterator[Result]:
    """Run cells, and give each result as it comes."""
    with Matrix(seed, keep) as matrix:
        yield from map(partial(Matrix.run, matrix), chosen)
