"""Soak: everything at once for minutes or hours, with random faults, and a verdict at the end."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from chaos.cluster import Cluster, temporary_place
from chaos.fault import Aim, named
from chaos.scene import Scene, TooLateError, wait_for

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from chaos.checker import Verdict
    from chaos.proxy import Proxy
    from chaos.scene import Process

RESTART: Final = "rolling restart"
"""No fault: one worker comes, and another one is asked to go."""
FAULTS: Final = (
    *("SIGKILL", "SIGSTOP, SIGCONT", "backend terminated", "server crash"),
    *("network cut", "blackhole", "statement timeout", "out of connections"),
    RESTART,
)
WORKERS: Final = 4
PRODUCERS: Final = 2
RATE: Final = 9.0
"""Transactions per second of each producer: well below what two cores can do."""
PROMISED_SHARE: Final = 0.95
PROMISED_SECONDS: Final = 5.0
_WARM_SECONDS = 3.0
_BEFORE_SECONDS = 6.0
_WINDOW_SECONDS = 1.0
_BETWEEN_SECONDS = (7.0, 11.0)
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_LEASE_SECONDS = 2.0


@dataclass
class Blow:
    """A fault that happened.

    Attributes:
        name: which.
        victim: whom.
        before: events completed per second in the seconds before it.
        since: when it began and when it had ended: the time that recovery counts from.
        recovered: seconds until the rate was what was promised; None if that was not seen.
        delay: longest time from a commit during it to the beginning of the handler.
    """

    name: str
    victim: str
    before: float
    since: float
    recovered: float | None = None
    delay: float = 0.0


@dataclass
class Outcome:
    """What became of a soak.

    Attributes:
        seed: of the choices.
        minutes: how long it lasted.
        blows: the faults.
        verdict: the checker's.
        deadlocks: how many the server reported.
        completed: how many runs ended.
        trouble: what else was wrong.
    """

    seed: int
    minutes: float
    blows: list[Blow] = field(default_factory=list)
    verdict: Verdict | None = None
    deadlocks: int = 0
    completed: int = 0
    trouble: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether everything was kept, nothing deadlocked and everybody stopped."""
        kept = self.verdict is not None and self.verdict.kept
        return kept and not self.deadlocks and not self.trouble

    @property
    def in_time(self) -> int:
        """After how many faults the rate was there again in time."""
        return sum(
            blow.recovered is not None and blow.recovered <= PROMISED_SECONDS for blow in self.blows
        )

    def __str__(self) -> str:
        waits = sorted(blow.recovered for blow in self.blows if blow.recovered is not None)
        median = (
            f", median {waits[len(waits) // 2]:.1f} s, worst {waits[-1]:.1f} s" if waits else ""
        )
        return (
            f"{'PASSED' if self.passed else 'FAILED'}: seed {self.seed}, {self.minutes:g} min, "
            f"{len(self.blows)} faults, {self.verdict}; {self.deadlocks} deadlocks; rate back "
            f"within {PROMISED_SECONDS:g} s after {self.in_time} of {len(self.blows)}{median}"
            + "".join(f"; {trouble}" for trouble in self.trouble)
        )


class Soak:
    """One soak.

    Args:
        scene: where.
        seed: of all choices.
        quiet: whether nothing is shown meanwhile.
    """

    def __init__(self, scene: Scene, seed: int, *, quiet: bool = False) -> None:
        self._scene = scene
        self._random = random.Random(seed)
        self._seed = seed
        self._quiet = quiet
        self._workers: list[tuple[Process, Proxy, str]] = []
        self._producers: list[Process] = []
        self._names = itertools.count(1)
        self._ends: deque[float] = deque()
        self._committed: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._delays: deque[tuple[float, float]] = deque(maxlen=10_000)
        self._accepted = 0
        self._rolled_back = 0
        self.outcome = Outcome(seed, 0.0)
        self._shown = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scene.close()

    def run(self, minutes: float) -> Outcome:
        """Run it."""
        outcome = self.outcome
        outcome.minutes = minutes
        # Faults are chosen before anything happens: they depend on the seed alone.
        faults = self._choices()
        for number in range(PRODUCERS):
            dsn = self._scene.dsn(self._scene.proxy())
            seed = self._random.randrange(2**32)
            self._producers.append(self._scene.producer(f"p{number}", dsn, seed=seed, rate=RATE))
        for _ in range(WORKERS):
            self._hire()
        until = time.monotonic() + minutes * 60
        self._watch(_WARM_SECONDS + _BEFORE_SECONDS)
        while time.monotonic() < until - PROMISED_SECONDS:
            name, place, pause = next(faults)
            self._strike(name, place)
            self._watch(pause)
        self._finish()
        return outcome

    def _choices(self) -> itertools.chain[tuple[str, int, float]]:
        """Give faults in random order, each kind as often as the others."""
        chance = random.Random(self._seed)

        def rounds() -> itertools.chain[tuple[str, int, float]]:
            return itertools.chain.from_iterable(
                [
                    (name, chance.randrange(WORKERS), chance.uniform(*_BETWEEN_SECONDS))
                    for name in chance.sample(FAULTS, k=len(FAULTS))
                ]
                for _ in itertools.repeat(None)
            )

        return rounds()

    def _hire(self, place: int | None = None) -> None:
        proxy = self._scene.proxy() if place is None else self._workers[place][1]
        name = f"w{next(self._names)}"
        dsn = self._scene.dsn(proxy, "-c statement_timeout=2s")
        process = self._scene.worker(name, dsn, lease=_LEASE_SECONDS)
        if place is None:
            self._workers.append((process, proxy, name))
        else:
            self._workers[place] = (process, proxy, name)

    def _strike(self, name: str, place: int) -> None:
        process, proxy, worker = self._workers[place]
        aim = Aim(self._scene, process, proxy)
        now = began = time.monotonic()
        before = sum(at > now - _BEFORE_SECONDS for at in self._ends) / _BEFORE_SECONDS
        blow = Blow(name, worker, before, now)
        self.outcome.blows.append(blow)
        if name == RESTART:
            self._restart(place)
        else:
            fault = named(name)
            fault.begin(aim)
            # Its statements may take two seconds here.
            self._watch(fault.seconds + (1.5 if name == "statement timeout" else 0.0))
            fault.end(aim)
            if fault.fatal:
                self._take_in(process)
                self._hire(place)
        blow.since = time.monotonic()
        deadline = blow.since + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self._watch(_LOOK_SECONDS)
            now = time.monotonic()
            window = max(_WINDOW_SECONDS, min(now - blow.since, 2 * _WINDOW_SECONDS))
            rate = sum(at > now - window for at in self._ends) / window
            if now - blow.since >= _WINDOW_SECONDS and rate >= PROMISED_SHARE * before:
                blow.recovered = now - blow.since
                break
        blow.delay = max((delay for at, delay in self._delays if at > began), default=0.0)

    def _restart(self, place: int) -> None:
        """Have a worker take the place of another one, which stops in order."""
        old, _, name = self._workers[place]
        self._hire(place)
        new = self._workers[place][0]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not new.noted("working") and time.monotonic() < deadline:
            self._watch(_LOOK_SECONDS)
        old.send(signal.SIGTERM)
        while old.alive and time.monotonic() < deadline:
            self._watch(_LOOK_SECONDS)
        self._take_in(old)
        if old.code != 0:
            self.outcome.trouble.append(f"{name} stopped with code {old.code}")

    def _watch(self, seconds: float) -> None:
        """Let time pass; count, and show the counts once a second."""
        until = time.monotonic() + seconds
        while True:
            self._count()
            now = time.monotonic()
            if now >= self._shown + 1:
                self._shown = now
                self._show(now)
            if now >= until:
                return
            time.sleep(min(_LOOK_SECONDS, max(0.0, until - now)))

    def _count(self) -> None:
        for process in [*self._producers, *(worker for worker, _, _ in self._workers)]:
            self._take_in(process)
        past = time.monotonic() - 2 * _PATIENCE_SECONDS
        while self._ends and self._ends[0] < past:
            self._ends.popleft()

    def _take_in(self, process: Process) -> None:
        for line in process.new_lines():
            if line["kind"] == "ended":
                self._ends.append(line["at"])
                self.outcome.completed += 1
            elif line["kind"] == "began" and line["attempt"] == 1:
                self._match(self._began, self._committed, line["event"], line["at"])
            elif line["kind"] == "committed":
                self._accepted += len(line["events"])
                for event in line["events"]:
                    self._match(self._committed, self._began, event, line["at"])
            elif line["kind"] == "rolled back":
                self._rolled_back += len(line["events"])

    def _match(
        self, these: dict[str, float], others: dict[str, float], event: str, at: float
    ) -> None:
        """Note how long an event waited, when both its lines have been read."""
        if event in others:
            other = others.pop(event)
            self._delays.append((min(at, other), abs(at - other)))
        elif event.startswith("p"):  # of a producer; what is emitted has no commit of its own
            these.setdefault(event, at)

    def _show(self, now: float) -> None:
        if self._quiet:
            return
        rate = sum(at > now - _WINDOW_SECONDS for at in self._ends) / _WINDOW_SECONDS
        blows = self.outcome.blows
        last = f", last: {blows[-1].name} on {blows[-1].victim}" if blows else ""
        text = (
            f"{rate:6.0f} runs/s  {self._accepted} accepted  {self._rolled_back} rolled back  "
            f"{self.outcome.completed} runs ended  {self._open()} open  {len(blows)} faults{last}"
        )
        if sys.stdout.isatty():
            sys.stdout.write(f"\r\033[K{text[:118]}")
        elif len(blows) != getattr(self, "_said", None):
            self._said = len(blows)
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def _open(self) -> str:
        with (
            contextlib.suppress(Exception),
            self._scene.cluster.admin(self._scene.database) as admin,
        ):
            admin.execute("SET statement_timeout = '300ms'")  # a fault may hold the tables
            row = admin.execute(
                "SELECT coalesce(sum(queued_count + active_count + deferred_count), 0)"
                " FROM arvo_v1.queue_stats()"
            ).fetchone()
            return str(row[0]) if row else "?"
        return "?"

    def _finish(self) -> None:
        outcome, scene = self.outcome, self._scene
        for producer in self._producers:
            producer.send(signal.SIGTERM)
        try:
            wait_for(
                lambda: not any(p.alive for p in self._producers) and scene.idle(),
                60 + len(outcome.blows),
                "the end of the work",
            )
        except TooLateError as late:
            outcome.trouble.append(str(late))
        for process, _, name in self._workers:
            if not process.alive:
                outcome.trouble.append(f"{name} has left with code {process.code}")
        if late_ones := scene.end(20):
            outcome.trouble.append(f"did not stop: {', '.join(late_ones)}")
        self._count()
        outcome.deadlocks = scene.cluster.deadlocks
        outcome.verdict = scene.judge()


def soak(minutes: float, seed: int, place: Path | None = None, *, quiet: bool = False) -> Outcome:
    """Run a soak on a server of its own.

    Args:
        minutes: how long.
        seed: of all choices.
        place: where the logs are to stay; None: they are thrown away.
        quiet: whether nothing is shown meanwhile.
    """
    with temporary_place() as own, Cluster(own) as cluster:
        cluster.furnish()
        logs = place or own
        scene = Scene(cluster, cluster.create("soak"), logs)
        with Soak(scene, seed, quiet=quiet) as running:
            return running.run(minutes)
