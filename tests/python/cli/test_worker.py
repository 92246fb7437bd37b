"""worker: a process that handles events, tells how it is, and ends when it is told to."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request

import psycopg
import pytest

from arvo_plpg.cli import health
from arvo_plpg.cli import worker as module
from arvo_plpg.cli.reload import marks_of

PROGRAM = """
import asyncio, contextlib, os
import arvo_plpg as arvo

class Task:
    source = "com.example.task"
    async def execute(self, event):
        await asyncio.sleep(event.data.get("seconds", 0))
        return [arvo.create_arvo_event(source=self.source, type="com.example.answer.given",
                subject=event.subject, to="com.example.answers", data={"text": "VERSION"},
                parentid=event.id)]

async def register(broker):
    await broker.register(Task())

@contextlib.asynccontextmanager
async def own():
    async with arvo.PostgresEventBroker(os.environ["DATABASE_URL"]) as broker:
        await broker.register(Task())
        yield broker

@contextlib.asynccontextmanager
async def wrong():
    yield 7

async def twice(broker):
    await broker.register(Task())
    await broker.register(Task())

value = 3
"""


@pytest.fixture
def program(tmp_path):
    """A folder with the module ``program``; program("two") writes another version of it."""

    def write(version):
        draft = tmp_path / "draft"
        draft.write_text(PROGRAM.replace("VERSION", version))
        draft.rename(tmp_path / "program.py")
        return tmp_path

    write("one")
    return write


@pytest.fixture
def run(start, program, tmp_path):
    """Start a worker with a health endpoint; gives the process and the endpoint's address."""

    def begin(*words, until="worker is ready"):
        process = start("worker", *words, "--health", 0, cwd=tmp_path)
        address, told = None, ""
        while until not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
            if found := re.search(r"health endpoint on (\S+)", line):
                address = found[1].rstrip('",}')
        return process, address

    return begin


def ask(address, path, method="GET"):
    request = urllib.request.Request(f"http://{address}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_it_tells_prometheus_what_it_counts(run, calls, event, eventually):
    _, address = run("program:register")
    calls.dispatch(event())
    assert eventually(lambda: len(answers(calls)) == 1)

    def told():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/plain")
            return answer.read().decode()

    assert eventually(
        lambda: re.search(r'^arvo_settled\w*\{.*"completed".*\} 1\.0$', told(), re.MULTILINE)
    )
    assert "arvo_up" not in told()  # gauges are the database's, told by serve


def answers(calls):
    return [
        step.outcome
        for step in calls.trace("order/1")
        if step.event_type == "com.example.answer.given"
    ]


@pytest.mark.parametrize("target", ["program:register", "program:own"])
def test_it_works_and_ends_cleanly(run, calls, event, eventually, target):
    process, address = run(target)
    calls.dispatch(event())
    assert eventually(lambda: len(answers(calls)) == 1)
    assert ask(address, "/live") == (200, {"status": "live"})
    assert ask(address, "/ready") == (200, {"status": "ready"})
    assert ask(address, "/ready?verbose=1")[0] == 200
    assert ask(address, "/metrics-of-nobody")[0] == 404
    assert ask(address, "/live", "POST")[0] == 405
    assert [worker.alive for worker in calls.workers()] == [True]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert "worker has stopped" in process.stderr.read()
    assert calls.workers() == []


def test_what_runs_at_the_end_is_finished(run, calls, event, eventually):
    process, address = run("program:register", "--grace", "20s")
    calls.dispatch(event(data={"seconds": 1.5}))
    assert eventually(lambda: calls.queue_stats("com.example.task")[0].active_count == 1)
    process.send_signal(signal.SIGTERM)
    assert eventually(lambda: ask(address, "/ready") == (503, {"status": "stopping"}))
    assert process.wait(30) == 0
    assert len(answers(calls)) == 1


def test_a_second_signal_does_not_wait(run, calls, event, eventually):
    process, _ = run("program:register", "--grace", "10m")
    calls.dispatch(event(data={"seconds": 600}))
    assert eventually(lambda: calls.queue_stats("com.example.task")[0].active_count == 1)
    process.send_signal(signal.SIGTERM)
    while "worker is stopping" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_it_starts_again_when_files_change(run, calls, event, eventually, program):
    process, _ = run("program:register", "--watch")
    calls.dispatch(event())
    assert eventually(lambda: len(answers(calls)) == 1)
    (first,) = calls.workers()
    program("two")
    assert eventually(lambda: [w.worker for w in calls.workers()] not in ([], [first.worker]), 40)
    calls.dispatch(event())
    assert eventually(lambda: len(answers(calls)) == 2)
    texts = {one.event["data"]["text"] for one in calls.claim(["com.example.answers"], 9)}
    assert texts == {"one", "two"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert calls.workers() == []


def test_a_change_that_breaks_it_is_waited_out(run, calls, event, eventually, program, tmp_path):
    process, _ = run("program:register", "--watch")
    (tmp_path / "program.py").write_text("1 / 0")
    while "waiting for a change" not in process.stderr.readline():
        pass
    program("three")
    while "worker is ready" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def test_logs_as_json(run, calls):
    process, _ = run("program:register", "--json")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert lines[-1]["message"] == "worker has stopped"
    assert set(lines[-1]) == {"at", "level", "logger", "message"}


def test_logs_as_json_tell_of_which_delivery(run, calls, event, eventually):
    process, _ = run("program:register", "--json")
    calls.dispatch(event(data={"seconds": "long"}))  # which no handler can sleep
    assert eventually(
        lambda: [step.attempt for step in calls.trace("order/1")][-1:] == [3], seconds=60
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    failed = [line for line in lines if "event_id" in line]
    assert {line["attempt"] for line in failed} >= {1, 2}
    assert {line["queue"] for line in failed} == {"com.example.task"}
    assert {line["subject"] for line in failed} == {"order/1"}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("program", "arvo-plpg worker shop.handlers:register"),
        ("no.such:thing", "no module named no"),
        ("program:nothing", "has no function nothing"),
        ("program:value", "has no function value"),
        ("program:wrong", "it gives a int"),
        ("program:twice", "already registered"),
    ],
)
def test_what_cannot_be_run_is_told(start, program, tmp_path, target, words):
    process = start("worker", target, cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert words in err
    assert "Traceback" not in err


def test_a_database_that_is_not_there(start, program, tmp_path):
    process = start(
        "worker", "program:register", "--dsn", "host=/nowhere password=s3cret", cwd=tmp_path
    )
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "s3cret" in err) == (1, False)


def test_a_port_that_is_taken(run, start, program, tmp_path):
    _, address = run("program:register")
    process = start("worker", "program:register", "--health", address, cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "health endpoint cannot be opened" in err


def test_not_ready_without_a_database(run, connection, server):
    _, address = run("program:register")
    name = connection.info.dbname
    with psycopg.connect(server.dsn, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert ask(address, "/ready")[0] == 503
    assert ask(address, "/live")[0] == 200


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:2", ("::1", 2)),
    ],
)
def test_addresses(text, found):
    assert module.address(text) == found


def test_only_programs_are_watched(tmp_path):
    for name in ("a.py", "b.txt", "pkg/c.py", ".venv/d.py", "pkg/__pycache__/e.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    assert {name.removeprefix(f"{tmp_path}/") for name in marks_of(tmp_path)} == {
        "a.py", "pkg/c.py"
    }  # fmt: skip


async def test_who_asks_and_does_not_read_is_let_go(monkeypatch):
    """His answer would stay in memory, and the worker would wait for him at its end."""
    monkeypatch.setattr(health, "_REQUEST_SECONDS", 0.2)
    endpoint = health.Health(("127.0.0.1", 0))

    class Figures:
        def render(self):
            return "text/plain", bytes(20_000_000)

        def close(self):
            pass

    async with endpoint:
        endpoint._metrics = Figures()
        place = endpoint._server.sockets[0].getsockname()
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(place)
            lazy.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            deadline = time.monotonic() + 20
            begun = False
            while not begun or len(asyncio.all_tasks()) > 1:
                begun = begun or len(asyncio.all_tasks()) > 1
                assert time.monotonic() < deadline, "he is waited for"
                await asyncio.sleep(0.01)
