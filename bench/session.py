"""Session: a running driver, as the harness sees it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bench.environment import CACHE, ROOT
from bench.process import cpu_seconds, resident_megabytes
from bench.tally import Tally

if TYPE_CHECKING:
    from types import TracebackType

    from bench.environment import Environment
    from bench.peers.peer import Configuration

_PATIENCE = 120.0
_SEND_PATIENCE = 1800.0


class DriverError(Exception):
    """A driver failed, or did not answer in time."""


class Session:
    """One process of a peer.

    Args:
        environment: where its driver runs.
        configuration: of the peer.
        dsn: the database.
    """

    def __init__(self, environment: Environment, configuration: Configuration, dsn: str) -> None:
        self._log = Path(tempfile.mkstemp(dir=CACHE, prefix="driver-", suffix=".log")[1])
        self._tally = self._log.with_suffix(".tally")
        path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*environment.command, dsn, json.dumps(configuration.settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=os.environ | environment.variables | {"PYTHONPATH": path},
                text=True,
            )
        self.count = 0
        self.failed = False
        self._replies: queue.Queue[dict[str, Any]] = queue.Queue()
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self._ready = False
        self._write("ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        for path in (self._log, self._tally):
            path.unlink(missing_ok=True)

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  for the type checker
        for line in self._process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue  # a peer that prints
            if not isinstance(said, dict):
                continue
            if "count" in said:
                with self._heard:
                    self.count = said["count"]
                    self._heard.notify_all()
            elif "reply" in said:
                self._note(said["reply"])
        self._note({"error": "the driver ended"})

    def _note(self, reply: dict[str, Any]) -> None:
        self._replies.put(reply)
        if "error" in reply:
            with self._heard:
                self.failed = True
                self._heard.notify_all()

    def say(self, do: str, **command: object) -> None:
        """Give a command without waiting for its answer, once the driver has started."""
        self.ready()
        self._write(do, **command)

    def ready(self) -> None:
        """Wait until the driver has started."""
        if not self._ready:
            self.reply()
            self._ready = True

    def _write(self, do: str, **command: object) -> None:
        assert self._process.stdin is not None  # noqa: S101  for the type checker
        try:
            self._process.stdin.write(json.dumps({"do": do, **command}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise DriverError(f"the driver ended: {self._last_words()}") from None

    def reply(self, patience: float = _PATIENCE) -> dict[str, Any]:
        """The answer to the oldest command that has none yet.

        Raises:
            DriverError: it says so, or says nothing.
        """
        try:
            answer = self._replies.get(timeout=patience)
        except queue.Empty:
            raise DriverError(f"no answer in {patience:.0f} s") from None
        if "error" in answer:
            raise DriverError(f"{answer['error']} {self._last_words()}".strip())
        return answer

    def ask(self, do: str, *, patience: float = _PATIENCE, **command: object) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        self.say(do, **command)
        return self.reply(patience)

    def work(self, concurrency: int, **options: object) -> None:
        """Start working."""
        self.say("work", concurrency=concurrency, **options)
        self.reply()

    def send(
        self, count: int, *, first: int = 0, batch: int = 1, **options: object
    ) -> dict[str, Any]:
        """Enqueue, and give how many and how long it took."""
        self.say("send", first=first, count=count, batch=batch, **options)
        return self.reply(_SEND_PATIENCE)

    def stop(self) -> Tally:
        """Stop working, and give what was handled."""
        self.ask("stop", tally=str(self._tally))
        return Tally.read(self._tally)

    def wait_count(self, count: int, patience: float) -> bool:
        """Wait until so many handlers have run in this process; false when they do not."""
        with self._heard:
            self._heard.wait_for(lambda: self.count >= count or self.failed, patience)
            return self.count >= count

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was not flushed was for the dead

    def cpu_seconds(self) -> float:
        """Processor time of the process."""
        return cpu_seconds(self._process.pid)

    def resident_megabytes(self) -> float:
        """Memory of the process."""
        return resident_megabytes(self._process.pid)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])[-400:]


def wait_counts(sessions: list[Session], count: int, patience: float) -> bool:
    """Wait until so many handlers have run in all of them together."""
    deadline = time.monotonic() + patience
    while sum(session.count for session in sessions) < count:
        if time.monotonic() > deadline or any(session.failed for session in sessions):
            return False
        time.sleep(0.02)
    return True
