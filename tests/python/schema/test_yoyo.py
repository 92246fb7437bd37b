"""Bare yoyo and our runner share one ledger."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from arvo_plpg.schema import doctor, migrate
from arvo_plpg.schema.tree import SqlTree

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path, house):
    """A folder as after git clone: yoyo.ini and sql/."""
    shutil.copy(CHECKOUT / "yoyo.ini", tmp_path / "yoyo.ini")
    house.seal()
    return tmp_path


def yoyo(folder, dsn, *arguments):
    command = [sys.executable, "-m", "yoyo", *arguments]
    environment = {**os.environ, "DATABASE_URL": dsn}
    if not dsn:
        del environment["DATABASE_URL"]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def tables(dsn, schema):
    with psycopg.connect(dsn) as conn:
        return {
            name
            for (name,) in conn.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)
            )
        }


def test_yoyo_on_an_empty_database_and_then_migrate(dsn, checkout, house):
    applied = yoyo(checkout, dsn, "apply", "--batch")
    assert (applied.returncode, applied.stdout) == (0, ""), applied.stderr
    assert migrate(dsn, sql_root=house.root) == []
    assert doctor(dsn, sql_root=house.root).findings == []
    assert tables(dsn, "public") == set()


def test_migrate_and_then_yoyo_has_nothing_to_do(dsn, checkout, house):
    migrate(dsn, sql_root=house.root)
    again = yoyo(checkout, dsn, "apply", "--batch", "-v")
    assert again.returncode == 0, again.stderr
    assert "Applying" not in again.stderr
    listed = [line.split()[:2] for line in yoyo(checkout, dsn, "list").stdout.splitlines()[2:]]
    assert listed == [["A", "0001.before.ground"], ["A", "0002.before.functions"]]


def test_a_database_named_in_yoyos_own_way(dsn, checkout, house):
    given = conninfo_to_dict(dsn)
    uri = f"arvo://{given['user']}@/{given['dbname']}?host={quote(given['host'])}"
    applied = yoyo(checkout, "", "apply", "--batch", "-d", uri)
    assert applied.returncode == 0, applied.stderr
    assert migrate(dsn, sql_root=house.root) == []


def test_yoyo_rolls_back_and_migrate_sees_it(dsn, checkout, house):
    migrate(dsn, sql_root=house.root)
    undone = yoyo(checkout, dsn, "rollback", "--batch", "-r", "0002.before.functions")
    assert undone.returncode == 0, undone.stderr
    assert migrate(dsn, sql_root=house.root) == ["0002.before.functions"]


def test_only_the_phase_before(dsn, checkout, house):
    house.table(3, "late", phase="after")
    assert yoyo(checkout, dsn, "apply", "--batch", "-m", r"\.before\.").returncode == 0
    assert migrate(dsn, sql_root=house.root, after=True) == ["0003.after.late"]


def test_a_function_left_at_its_older_text_by_running_out_of_order_is_drift(dsn, checkout, house):
    """Our runner refuses that order; bare yoyo does not know better, so the doctor must."""
    house.edit("arvo.clock", "The server's", "Our server's")
    house.seal("second", phase="after")
    house.edit("arvo.clock", "Our server's", "Your server's")
    house.seal("third")
    for pattern in (r"\.before\.", "."):
        assert yoyo(checkout, dsn, "apply", "--batch", "-m", pattern).returncode == 0
    found = doctor(dsn, sql_root=house.root).findings
    assert [(f.object, f.kind) for f in found] == [("arvo.clock", "body")]


def test_yoyo_heals_a_mark_that_a_killed_run_did_not_write(dsn, checkout, house):
    migrate(dsn, sql_root=house.root)
    with psycopg.connect(dsn) as conn:
        conn.execute("DELETE FROM arvo._yoyo_migration WHERE migration_id LIKE '0002%'")
        conn.execute("INSERT INTO arvo.yoyo_lock (locked, pid) VALUES (1, 1)")
    applied = yoyo(checkout, dsn, "apply", "--batch")
    assert applied.returncode == 0, applied.stderr
    assert doctor(dsn, sql_root=house.root).findings == []


def test_yoyo_without_a_database_says_so(checkout):
    run = yoyo(checkout, "", "apply", "--batch")
    assert run.returncode != 0
    assert "Set DATABASE_URL" in run.stderr


def test_yoyo_refuses_an_installation_without_roles(dsn, checkout, house):
    migrate(dsn, roles=False, sql_root=house.root)
    run = yoyo(checkout, dsn, "apply", "--batch")
    assert run.returncode != 0
    assert "installed without roles" in run.stderr


@pytest.mark.skipif(not SqlTree.find().migrations(), reason="no migrations yet")
def test_yoyo_in_the_real_checkout(dsn):
    applied = yoyo(CHECKOUT, dsn, "apply", "--batch")
    assert (applied.returncode, applied.stdout) == (0, ""), applied.stderr
    assert migrate(dsn, after=True) == []
    assert doctor(dsn).findings == []
