"""The command line, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psycopg
import pytest

from arvo_plpg.cli import main


@pytest.fixture
def arvo(dsn, schema, house, capsys, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    house.seal()

    def run(command, *arguments):
        place = ["--dsn", dsn, "--schema", schema, "--sql-root", str(house.root)]
        code = main([command, *place, *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_whole_life(arvo, dsn, schema):
    both = ["0001.before.ground", "0002.before.functions"]
    assert arvo("migrate", "--dry-run") == (0, "".join(f"would apply {m}\n" for m in both), "")
    assert arvo("migrate") == (0, "".join(f"applied {m}\n" for m in both), "")
    assert arvo("migrate") == (0, "nothing to do\n", "")
    assert arvo("doctor") == (0, f"{schema}: revision 2, 2 functions, healthy\n", "")
    with psycopg.connect(dsn) as conn:
        conn.execute(f"DROP FUNCTION {schema}.clock()")
    code, out, _ = arvo("doctor")
    assert (code, out.splitlines()[0].startswith("missing: ")) == (1, True)
    code, out, _ = arvo("doctor", "--json")
    assert (code, json.loads(out)["findings"][0]["kind"]) == (1, "missing")


def test_rollback(arvo):
    arvo("migrate")
    assert arvo("rollback", "--to", "1", "--dry-run")[1] == "would undo 0002.before.functions\n"
    assert arvo("rollback", "--to", "0001")[1] == "undid 0002.before.functions\n"
    code, _, err = arvo("rollback", "--to", "0")
    assert (code, "--yes-lose-data" in err) == (1, True)
    assert arvo("rollback", "--to", "0", "--yes-lose-data")[0] == 0


def test_sql_is_printed_in_the_edition_that_would_run(arvo, schema):
    code, out, _ = arvo("migrate", "--sql")
    assert code == 0
    assert f"CREATE OR REPLACE FUNCTION {schema}_v1.claim(" in out
    assert f"CREATE ROLE {schema}_owner" in out
    assert "FUNCTION arvo" not in out
    _, out, _ = arvo("migrate", "--sql", "--without-roles")
    assert ("ROLE" in out, f"CREATE TABLE {schema}.queue" in out) == (False, True)


def test_a_failure_is_one_message_and_exit_code_1(house, capsys):
    code = main(
        ["migrate", "--dsn", "host=/nowhere password=s3cret", "--sql-root", str(house.root)]
    )
    err = capsys.readouterr().err
    assert (code, err.startswith("arvo-plpg: cannot connect"), "s3cret" in err) == (1, True, False)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["migrate"],
        ["migrate", "--dsn", "x", "--schema", "No!"],
        ["migrate", "--dsn", "x", "--to", "-1"],
        ["migrate", "--dsn", "x", "--to", "two"],
        ["migrate", "--dsn", "x", "--sql", "--dry-run"],
        ["rollback", "--dsn", "x"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, capsys, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: " in capsys.readouterr().err


def test_as_a_module_with_database_url_and_a_secret_that_is_never_shown(dsn, schema, house):
    command = [sys.executable, "-m", "arvo_plpg", "migrate", "--schema", schema]
    environment = {**os.environ, "DATABASE_URL": dsn + " password=s3cret"}
    for expected in ("applied 0001.before.ground\n", "nothing to do\n"):
        run = subprocess.run(
            [*command, "--sql-root", str(house.root)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, expected, "")
    helped = subprocess.run(
        [*command, "--help"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "s3cret" not in helped.stdout
