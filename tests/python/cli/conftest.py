"""The command line on the test's own database, in this process; and something for it to show."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import pytest

from arvo_plpg import create_arvo_event
from arvo_plpg.cli import main
from arvo_plpg.sync import Broker

ESC = "\x1b"


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """Its one JSON document."""
        assert self.code == 0, self
        assert self.err == "", self
        return json.loads(self.out)

    @property
    def lines(self):
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def arvo(dsn, capsys, monkeypatch):
    """Run a command: arvo("dead", "list", stdin="…")."""
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run(*words, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            code = main([*map(str, words), "--dsn", dsn])
        except SystemExit as left:
            code = left.code
        out, err = capsys.readouterr()
        assert not unprintable(out), out
        assert not unprintable(err), err
        return Ran(code, out, err)

    return run


def unprintable(text):
    """Characters that must never be written anywhere but to a terminal."""
    return {sign for sign in text if not sign.isprintable() and sign != "\n"}


@pytest.fixture
def calls(connection):
    """The contract's functions."""
    return Broker(connection)


@pytest.fixture
def event():
    """Make an event: event(to, number=…, **attributes)."""

    def make(to="com.example.task", **more):
        data = more.pop("data", {"number": more.pop("number", 0)})
        given = {"source": "com.example.shop", "type": "com.example.task.do", "subject": "order/1"}
        return create_arvo_event(to=to, data=data, **(given | more))

    return make


@pytest.fixture
def settle(calls):
    """Claim and settle what waits in a queue: settle("q", "failed", error=…)."""

    def run(queue="com.example.task", outcome="completed", limit=100, **more):
        claimed = calls.claim([queue], limit, "ann")
        calls.settle(
            [
                {"lease": one.lease, "delivery": one.delivery, "outcome": outcome, **more}
                for one in claimed
            ]
        )
        return [one.delivery for one in claimed]

    return run


@pytest.fixture
def bury(calls, event, settle):
    """Have so many dead letters in a queue."""

    def run(count=3, queue="com.example.task", error=None, **more):
        calls.register_queue(queue, retry_limit=0)
        for number in range(count):
            calls.dispatch(event(queue, number=number, **more))
        settle(queue, "failed", error=error or {"name": "Broken", "message": "it broke"})

    return run


@pytest.fixture
def start(dsn):
    """Start a command as a process of its own, which is ended with the test."""
    started = []

    def run(*words, **more):
        environment = {**os.environ, "DATABASE_URL": dsn, "PYTHONUNBUFFERED": "1"}
        environment |= more.pop("env", {})
        program = subprocess.Popen(
            [sys.executable, "-m", "arvo_plpg", *map(str, words)],
            env=environment,
            # Who runs the tests in the background has Ctrl-C ignored, which would be inherited.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | more,
        )
        started.append(program)
        return program

    yield run
    for program in started:
        if program.poll() is None:
            program.kill()
        program.wait(20)
        for stream in (program.stdout, program.stderr, program.stdin):
            if stream is not None:
                stream.close()


@pytest.fixture
def until_line():
    """The next JSON line of a program; the test's time limit is the deadline."""

    def read(program):
        line = program.stdout.readline()
        assert line, program.stderr.read()
        return json.loads(line)

    return read
