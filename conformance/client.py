"""Client: a program under test, as a child process that answers one line of JSON to each."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import subprocess
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAVING_SECONDS = 5.0
_KEPT_LINES = 40


class Misbehaved(Exception):  # noqa: N818 - named for what is wrong
    """The program does not keep the protocol: no answer, no JSON, the wrong number, or it ended."""


class Refused(Exception):  # noqa: N818 - named for what happened
    """The program answered with an error.

    Attributes:
        error: what it said: ``code``, ``message`` and the like.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.error = error


class Client:
    """A program under test.

    Args:
        command: how to start it.
        patience: seconds within which it answers.
    """

    def __init__(self, command: Sequence[str], patience: float = 30.0) -> None:
        self._patience = patience
        self._numbers = itertools.count(1)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            bufsize=1,
        )
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._overhear, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def said(self) -> str:
        """The last lines that it wrote to its standard error."""
        return "\n".join(self._said)

    def ask(self, op: str, **given: object) -> Any:  # noqa: ANN401 - any JSON
        """Have it do something, and give what it answers.

        Raises:
            Refused: it answers with an error.
            Misbehaved: it does not answer as the protocol says.
        """
        number = next(self._numbers)
        question = json.dumps({"id": number, "op": op, **given})
        if self._process.stdin is None:
            raise Misbehaved("no standard input")
        try:
            self._process.stdin.write(question + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Misbehaved(f"it does not listen ({error}): {self.said}") from error
        try:
            line = self._lines.get(timeout=self._patience)
        except queue.Empty:
            raise Misbehaved(f"no answer to {op} within {self._patience:g} s") from None
        if line is None:
            raise Misbehaved(f"it ended at {op}: {self.said}")
        return _answer(line, number)

    def close(self) -> None:
        """End it: first its input, then itself."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(_LEAVING_SECONDS)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def _overhear(self) -> None:
        for line in self._process.stderr or ():
            self._said.append(line.rstrip())


def _answer(line: str, number: int) -> Any:  # noqa: ANN401 - any JSON
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise Misbehaved(f"not JSON: {line[:200]!r}") from error
    if not isinstance(answer, dict) or answer.get("id") != number:
        raise Misbehaved(f"not the answer to {number}: {line[:200]!r}")
    if "error" in answer:
        told = answer["error"]
        if not isinstance(told, dict) or not isinstance(told.get("message"), str):
            raise Misbehaved(f"an error without a message: {line[:200]!r}")
        raise Refused(told)
    if "ok" not in answer:
        raise Misbehaved(f"neither ok nor error: {line[:200]!r}")
    return answer["ok"]
