"""A server for as long as a command runs."""

import os
import re
import signal
import subprocess
import sys
import time

import psycopg
import pytest

COMMAND = [sys.executable, "-m", "arvo_plpg", "sandbox"]
ASK = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    print(connection.execute("SELECT contract FROM arvo_v1.about()").fetchone()[0])
raise SystemExit(7)
"""


def test_a_command_finds_a_migrated_database_and_gives_its_code():
    ran = subprocess.run(
        [*COMMAND, "--", sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, "1\n", "")


def test_a_command_that_is_not_there():
    ran = subprocess.run(
        [*COMMAND, "--", "no-such-program"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 127
    assert "'no-such-program' cannot be run: No such file" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_command_it_serves_until_it_is_interrupted_and_keeps_data(public_path, number):
    data = public_path / "data"
    for time_round in (1, 2):
        serving = subprocess.Popen(
            [*COMMAND, "--data", str(data)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = serving.stdout.readline()
        found = re.fullmatch(r"export DATABASE_URL='?([^']+)'?\n", line)
        assert found, line
        with psycopg.connect(found[1], autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS rounds ()")
            connection.execute("INSERT INTO rounds DEFAULT VALUES")
            rows = connection.execute("SELECT count(*) FROM rounds").fetchone()
        assert rows == (time_round,)
        serving.send_signal(number)
        assert serving.wait(timeout=30) == 0
        serving.stdout.close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(found[1]).close()


def test_a_command_ends_with_the_sandbox(tmp_path):
    mark = tmp_path / "mark"
    script = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    sandbox = subprocess.Popen([*COMMAND, "--", sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    sandbox.terminate()
    assert sandbox.wait(timeout=30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
