"""worker: what signals do to it. The first lets what runs finish, the second gives it back."""

from __future__ import annotations

import signal
import time

import pytest

PROGRAM = """
import asyncio, threading
import arvo_plpg as arvo
from arvo_plpg.cli import worker

class Waits:
    source = "com.example.task"
    async def execute(self, event):
        print("began", flush=True)
        await asyncio.sleep(600)

def block(event):
    print("began", flush=True)
    threading.Event().wait(600)

class Pools:
    source = "com.example.task"
    async def execute(self, event):
        print("began", flush=True)
        await asyncio.to_thread(threading.Event().wait, 600)

class Clings:
    source = "com.example.task"
    async def execute(self, event):
        print("began", flush=True)
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                pass

class Holds:
    source = "com.example.task"
    async def execute(self, event):
        print("began", flush=True)
        threading.Event().wait(600)

async def waits(broker):
    await broker.register(Waits())

async def blocks(broker):
    await broker.on_workflow_complete(source="com.example.task", listener=block)

async def pools(broker):
    await broker.register(Pools())

async def clings(broker):
    await broker.register(Clings())

async def holds(broker):
    worker._SPARE_SECONDS = 1.0
    await broker.register(Holds())
"""
TASK = "com.example.task"


@pytest.fixture
def run(start, tmp_path, calls, event):
    """Start a worker with a handler that has begun with an event; gives process and event."""
    (tmp_path / "program.py").write_text(PROGRAM)

    def begin(handler, *words):
        process = start("worker", f"program:{handler}", "--grace", "10m", *words, cwd=tmp_path)
        until(process, "worker is ready")
        asked = event()
        calls.dispatch(asked)
        assert process.stdout.readline() == "began\n"
        return process, asked

    return begin


def until(process, words):
    """Read what a process tells until certain words; the test's time limit is the deadline."""
    while words not in (line := process.stderr.readline()):
        assert line, words


def story(calls):
    return [(step.attempt, step.outcome) for step in calls.trace("order/1")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("handler", ["waits", "blocks", "pools", "clings"])
def test_a_second_signal_gives_back_what_runs(run, calls, settle, handler, number):
    process, _ = run(handler)
    process.send_signal(number)
    until(process, "worker is stopping")
    signalled = time.monotonic()
    process.send_signal(number)
    assert process.wait(30) == 0
    assert time.monotonic() - signalled < 15
    (stats,) = calls.queue_stats(TASK)
    assert (stats.queued_count, stats.active_count) == (1, 0)
    assert calls.workers() == []
    assert story(calls) == [(1, "released"), (1, "queued")]
    assert len(settle()) == 1
    assert story(calls) == [(1, "released"), (1, "completed")]


def test_a_handler_that_blocks_everything_does_not_keep_it(run, calls):
    """Nothing can be given back then: its lease lapses."""
    process, _ = run("holds")
    signalled = time.monotonic()
    while process.poll() is None:  # two that come at the same moment are one
        assert time.monotonic() - signalled < 30
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    assert process.returncode == 1
    assert "ended by force" in process.stderr.read()


def test_a_second_signal_reaches_a_worker_that_is_watched(run, calls):
    process, _ = run("waits", "--watch")
    process.send_signal(signal.SIGTERM)
    until(process, "worker is stopping")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert story(calls) == [(1, "released"), (1, "queued")]
