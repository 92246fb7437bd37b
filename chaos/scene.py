"""Scene: a database, the processes that work on it, and the proxies they reach it by."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from chaos import checker, history, tables
from chaos.producer import Config as ProducerConfig
from chaos.proxy import Proxy
from chaos.worker import Config as WorkerConfig
from chaos.workload import PLAN

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedWriter

    from chaos.cluster import Cluster
    from chaos.history import Line

ROOT = Path(__file__).resolve().parent.parent
_OPEN = """
SELECT coalesce(sum(queued_count + active_count + deferred_count + waiting_count), 0)::bigint
FROM arvo_v1.queue_stats()
"""
_STEP_SECONDS = 0.02


class TooLateError(Exception):
    """Something that was to come did not."""


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition.

    Raises:
        TooLateError: it did not come.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TooLateError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(_STEP_SECONDS)


class Process:
    """A worker or producer, in a process of its own.

    Args:
        module: what it runs.
        config: what it is told.
    """

    def __init__(self, module: str, config: WorkerConfig | ProducerConfig) -> None:
        self.name = config.name
        self.log = Path(config.log)
        self.log.touch()
        self._read = 0
        self.errors: BufferedWriter = self.log.with_suffix(".err").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(asdict(config))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """What it ended with."""
        return self._process.poll()

    def go(self) -> None:
        """Let it begin."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(b"\n")
                self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        self._process.send_signal(number)

    def end(self, seconds: float) -> bool:
        """Wait for its end, and make one if it does not come; whether it came."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            if self._process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._process.stdin.close()
            self.errors.close()
        return True

    def new_lines(self) -> list[Line]:
        """Give what it has noted since this was asked last."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return history.lines_of(whole.decode())

    def noted(self, kind: str) -> bool:
        """Whether it has noted such a line."""
        return f'"kind": "{kind}"' in self.log.read_text()


@dataclass
class Scene:
    """One database and those who work on it.

    Attributes:
        cluster: the server; after a failover another.
        database: its name.
        place: directory of the logs.
        processes: all that were started.
        proxies: all that are open.
        spare: what a fault keeps until it ends, such as connections.
        lossy: whether a fault may have lost commits.
    """

    cluster: Cluster
    database: str
    place: Path
    processes: list[Process] = field(default_factory=list)
    proxies: list[Proxy] = field(default_factory=list)
    spare: list[Any] = field(default_factory=list)
    follower: Cluster | None = None
    lossy: bool = False

    def __post_init__(self) -> None:
        history.Log(self.place / "plan.jsonl", "chaos").note("plan", queues=PLAN)

    def proxy(self) -> Proxy:
        """Open a way to the server."""
        proxy = Proxy(self.cluster.port)
        proxy.__enter__()
        self.proxies.append(proxy)
        return proxy

    def dsn(self, proxy: Proxy, options: str = "") -> str:
        """Connection string of the workload's user, by way of a proxy."""
        plain = self.cluster.dsn(self.database, "chaos", proxy.port)
        return f"{plain} options='{options}'" if options else plain

    def worker(self, name: str, dsn: str, **more: Any) -> Process:  # noqa: ANN401 - of Config
        """Start a worker."""
        config = WorkerConfig(dsn, name, str(self.place / f"{name}.jsonl"), **more)
        return self._start("chaos.worker", config)

    def producer(self, name: str, dsn: str, **more: Any) -> Process:  # noqa: ANN401 - of Config
        """Start a producer."""
        config = ProducerConfig(dsn, name, str(self.place / f"{name}.jsonl"), **more)
        return self._start("chaos.producer", config)

    def _start(self, module: str, config: WorkerConfig | ProducerConfig) -> Process:
        process = Process(module, config)
        self.processes.append(process)
        return process

    def idle(self) -> bool:
        """Whether nothing is open; not while nobody can be asked."""
        try:
            with self.cluster.admin(self.database) as admin:
                return admin.execute(_OPEN).fetchone() == (0,)
        except psycopg.Error:
            return False

    def end(self, seconds: float) -> list[str]:
        """Stop everybody; say who did not stop in time."""
        for process in self.processes:
            if process.alive:
                process.send(signal.SIGCONT)
                process.send(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        return [
            process.name
            for process in self.processes
            if not process.end(max(0.1, deadline - time.monotonic()))
        ]

    def judge(self) -> checker.Verdict:
        """Have the checker look; what it looked at is kept beside the logs."""
        found = tables.read(self.cluster.dsn(self.database))
        (self.place / "tables.json").write_text(json.dumps(found.to_dict()))
        return checker.check(
            history.read(sorted(self.place.glob("*.jsonl"))), found, lossy=self.lossy
        )

    def close(self) -> None:
        """Close what is open."""
        for process in self.processes:
            if process.alive:
                process.send(signal.SIGKILL)
            process.end(10)
        for proxy in self.proxies:
            proxy.__exit__(None, None, None)
        for thing in self.spare:
            thing.close()
        self.spare.clear()
