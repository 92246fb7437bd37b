"""Output that cannot be written, files that cannot be read, numbers too large: told in words."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys

import pytest
from psycopg.conninfo import make_conninfo


def run(words, dsn, place):
    """Run a command whose output goes to a place of the shell's."""
    command = f"{shlex.quote(sys.executable)} -m arvo_plpg {words} --dsn {shlex.quote(dsn)} {place}"
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("words", ["queues", "queues --json", "trace nothing"])
def test_an_output_that_is_closed_is_nobodys(words, dsn):
    ran = run(words, dsn, ">&-")
    assert (ran.returncode, ran.stderr) == (int("trace" in words), "")


def test_an_output_that_is_full_is_told(dsn):
    ran = run("queues --json", dsn, ">/dev/full")
    assert ran.returncode == 1
    assert json.loads(ran.stderr)["detail"] == "No space left on device"
    ran = run("queues", dsn, ">/dev/full")
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (1, "arvo-plpg: the system refused")


def test_nobody_looks_after_more_than_a_year(start, event, calls, until_line):
    calls.dispatch(event())
    program = start("trace", "order/1", "--follow", "--json", "--every", "90000000d")
    assert until_line(program)["event_type"] == event().type
    program.send_signal(signal.SIGINT)
    assert program.wait(20) == 0
    assert program.stderr.read() == ""


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), (b"\xff\xfe", "it is not UTF-8")]
)
def test_a_token_that_cannot_be_read(arvo, tmp_path, content, words):
    place = tmp_path / "token"
    if content is not None:
        place.write_bytes(content)
    ran = arvo("serve", "--token-file", place)
    assert ran.code == 1
    assert words in ran.err


@pytest.mark.parametrize("port", ["65536", "-1", "x", "9" * 5000])
def test_what_is_no_port(arvo, port):
    ran = arvo("serve", f"--port={port}")
    assert ran.code == 2
    assert "is not a port" in ran.err


def test_a_page_of_a_database_whose_name_cannot_be_read():
    ran = run("serve --port 0", "garbage password=s3cret", "")
    assert ran.returncode == 1
    assert "the connection string cannot be read" in ran.stderr
    assert "s3cret" not in ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_is_no_json_is_found_by_the_events_before_it(arvo, event):
    lines = [json.dumps(event(number=number).to_dict()) for number in range(150)]
    lines.insert(120, '{"id": broken')
    ran = arvo("dispatch", "--json", stdin="\n".join(lines))
    told = json.loads(ran.err)
    assert told["detail"] == "no JSON: Expecting value; after event 120"


def test_a_role_that_may_nothing_is_told_what_to_ask_for(dsn, connection):
    connection.execute("CREATE ROLE arvo_test_stranger NOLOGIN")
    try:
        connection.execute("GRANT arvo_test_stranger TO CURRENT_USER")
        place = make_conninfo(dsn, options="-c role=arvo_test_stranger")
        ran = run("queues --json", place, "")
        told = json.loads(ran.stderr)
        assert (ran.returncode, told["error"]) == (1, "PrivilegeMissing")
    finally:
        connection.execute("DROP ROLE arvo_test_stranger")
