"""top: the screen, as a terminal shows it, and JSON lines."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time

import psycopg
import pyte
import pytest
from psycopg import sql

from arvo_plpg.cli.board import SPARK, Board, sparkline


class Terminal:
    """A program in a terminal of 100 columns and 20 lines, and what is on its screen."""

    def __init__(self, start, *words, columns=100, lines=20, **env):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        env = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(lines)} | env
        self.process = start(*words, env=env, stdin=slave, stdout=slave, stderr=slave, text=False)
        os.close(slave)

    def read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return
        try:
            piece = os.read(self.master, 65536)
        except OSError:  # the program has ended
            return
        self.raw += piece
        self.stream.feed(piece)

    def until(self, condition, seconds=30.0):
        deadline = time.monotonic() + seconds
        while not condition(self.text):
            assert time.monotonic() < deadline, self.text
            self.read(0.1)
        return self.text

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self.read(0.1)
        while select.select([self.master], [], [], 0.2)[0]:
            before = len(self.raw)
            self.read(0)
            if len(self.raw) == before:
                break
        return self.process.returncode


@pytest.fixture
def terminal(start):
    opened = []

    def run(*words, **more):
        opened.append(Terminal(start, *words, **more))
        return opened[-1]

    yield run
    for one in opened:
        os.close(one.master)


def test_the_screen_follows_what_happens(terminal, calls, event, settle, bury):
    bury(2, "com.example.mail")
    calls.register_queue("com.example.task")
    calls.dispatch_many([event(number=n) for n in range(1500)])
    shown = terminal("top", "--every", "200ms")
    text = shown.until(lambda text: "com.example.task" in text and "q quit" in text)
    assert "1,500 queued" in text
    assert "2 dead" in text
    assert "every 0.2 s" in text
    assert "q quit" in text.splitlines()[-1]
    settle(limit=500)
    shown.until(lambda text: "1,000 queued" in text)
    assert SPARK[-1] in shown.text
    shown.press(" ")
    shown.until(lambda text: "held" in text)
    shown.press(" ")
    shown.until(lambda text: "every 0.2 s" in text)
    shown.press("q")
    assert shown.end() == 0
    assert b"\x1b[?1049l" in shown.raw  # the screen is as it was before
    attributes = termios.tcgetattr(shown.master)
    assert attributes[3] & termios.ICANON


def test_it_sorts_and_scrolls(terminal, calls, event):
    for number in range(40):
        calls.register_queue(f"com.example.q{number:02}")
    calls.dispatch(event("com.example.q39"))
    shown = terminal("top", "--every", "200ms")
    text = shown.until(lambda text: "1 to 13 of 40 queues" in text)
    assert "com.example.q39" in text
    for expected in ("rate", "failures", "oldest", "name"):
        shown.press("s")
        shown.until(lambda text, expected=expected: f"sort: {expected}" in text)
    shown.until(lambda text: "com.example.q00" in text)
    shown.press("\x1b[B")
    shown.until(lambda text: "2 to 14 of 40 queues" in text and "com.example.q00" not in text)
    shown.press("\x1b[A")
    shown.until(lambda text: "1 to 13 of 40 queues" in text)
    shown.press("q")
    assert shown.end() == 0


def test_it_goes_on_when_the_connection_breaks(terminal, calls, connection, server):
    calls.register_queue("com.example.task")
    shown = terminal("top", "--every", "200ms")
    shown.until(lambda text: "com.example.task" in text)
    name = sql.Identifier(connection.info.dbname)
    with psycopg.connect(server.dsn, autocommit=True) as other:
        other.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'arvo-plpg top'"
    )
    shown.until(lambda text: "trying again" in text)
    with psycopg.connect(server.dsn, autocommit=True) as other:
        other.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    shown.until(lambda text: "trying again" not in text)
    shown.press("q")
    assert shown.end() == 0


def test_names_cannot_steer_the_terminal(terminal, calls):
    calls.check_in("worker\x1b]0;owned\x07", ["com.example.task"])
    calls.register_queue("com.example.task")
    shown = terminal("top", "--every", "200ms", "--count", "2")
    assert shown.end() == 0
    assert b"owned" not in shown.raw


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_only_where_they_are_wanted(terminal, bury, env, coloured):
    bury(1)
    for words in (["queues"], ["dead", "list"], ["trace", "order/1"], ["top", "--count", "1"]):
        shown = terminal(*words, **env)
        assert shown.end() == 0
        assert (b"\x1b[31m" in shown.raw) is coloured, (words, shown.raw)


def test_a_table_keeps_to_the_terminal(terminal, bury):
    bury(1, error={"name": "Long", "message": "word " * 60})
    shown = terminal("dead", "list", columns=90)
    assert shown.end() == 0
    lines = shown.raw.decode().split("\r\n")
    assert len(lines) > 4  # the error goes on in further lines
    assert "word" in lines[3]


def test_someone_at_the_terminal_is_asked(terminal, bury, calls):
    bury(2)
    shown = terminal("dead", "discard", "--queue", "com.example.task")
    shown.until(lambda text: "Discard 2 dead letters? [y/N]" in text)
    shown.press("n\n")
    assert shown.end() == 1
    assert len(calls.dead_letters()) == 2
    shown = terminal("dead", "discard", "--queue", "com.example.task")
    shown.until(lambda text: "[y/N]" in text)
    shown.press("y\n")
    assert shown.end() == 0
    assert calls.dead_letters() == []


def test_progress_is_shown_and_goes(terminal, calls, event, tmp_path):
    calls.register_queue("com.example.task")
    file = tmp_path / "events.jsonl"
    file.write_text("".join(event(number=n).to_json() + "\n" for n in range(20_000)))
    shown = terminal("dispatch", file)
    shown.until(lambda text: "events  " in text and "/s" in text and "%" in text)
    assert shown.end() == 0
    assert shown.text.strip() == "20,000 events: 20,000 queued"


def test_the_story_follows(terminal, calls, event, settle):
    calls.register_queue("com.example.task")
    calls.dispatch(event())
    shown = terminal("trace", "order/1", "-f", "--every", "100ms")
    shown.until(lambda text: "○ queued" in text and "1 open" in text)
    settle()
    shown.until(lambda text: "✓ completed" in text and "settled" in text)
    shown.process.send_signal(2)
    assert shown.end() == 0
    assert "✓ completed" in shown.text


def test_json_lines(arvo, calls, event):
    calls.register_queue("com.example.task")
    calls.dispatch(event())
    ran = arvo("top", "--json", "--every", "100ms", "--count", 2)
    assert (ran.code, len(ran.lines)) == (0, 2)
    for line in ran.lines:
        assert set(line) == {"at", "totals", "queues"}
        assert line["totals"] == {
            "queued": 1, "running": 0, "waiting": 0, "deferred": 0, "dead": 0,
            "completed_per_minute": 0, "failed_per_minute": 0, "workers_alive": 0,
        }  # fmt: skip
        assert line["queues"][0]["name"] == "com.example.task"


def test_elsewhere_than_on_a_terminal_it_says_what_to_do(arvo):
    ran = arvo("top")
    assert (ran.code, "needs a terminal" in ran.err) == (1, True)


def test_sparklines():
    assert sparkline([], 5) == ""
    assert sparkline([0, 0], 5) == "▁▁"
    assert sparkline([0, 1, 2, 4], 3) == "▃▅█"
    assert Board("x", 1.0).press("q") is False


def test_a_board_before_its_first_look():
    assert "looking" in Board("x", 1.0).draw(80, 24).plain
