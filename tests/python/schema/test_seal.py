"""The press, on small trees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import seal

from arvo_plpg.errors import SealBroken, SqlTreeBroken
from arvo_plpg.schema.blocks import blocks, fold
from arvo_plpg.schema.seals import seal_lines, verify

CLAIM = "arvo_v1.claim"


def up(house, stem):
    return (house.migrations / f"{stem}.sql").read_text()


def down(house, stem):
    return (house.migrations / f"{stem}.rollback.sql").read_text()


def test_seals_every_new_function_whole(house):
    assert house.seal("first") == ["arvo.clock", CLAIM]
    assert dict(blocks(up(house, "0002.before.first"))) == house.tree.functions()
    assert up(house, "0002.before.first").startswith("-- first\n-- depends: 0001.before.ground\n")
    assert seal.check(house.tree) == []


def test_the_undo_of_a_new_function_drops_it(house):
    house.seal("first")
    undo = down(house, "0002.before.first")
    assert "DROP FUNCTION arvo_v1.claim(text, integer, interval, text[]);" in undo
    assert fold([up(house, "0002.before.first"), undo]) == {}


def test_a_new_body_needs_no_drop_and_its_undo_is_the_old_text(house):
    house.seal("first")
    old = house.read(CLAIM)
    house.edit(CLAIM, "p_limit < 1", "p_limit < 2")
    assert house.seal("second") == [CLAIM]
    assert "DROP FUNCTION" not in up(house, "0003.before.second")
    assert dict(blocks(down(house, "0003.before.second"))) == {CLAIM: old}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("p_limit integer", "p_most integer"),
        ("p_limit integer DEFAULT 10", "p_limit integer"),
        ("RETURNS SETOF bigint", "RETURNS SETOF integer"),
    ],
)
def test_a_new_signature_is_dropped_first(house, old, new):
    house.seal("first")
    house.edit(CLAIM, old, new)
    house.seal("second")
    text = up(house, "0003.before.second")
    drop = "DROP FUNCTION arvo_v1.claim(text, integer, interval, text[]);\n"
    assert drop + "--! function arvo_v1.claim\n" in text


def test_a_removed_function_is_an_empty_block(house):
    house.seal("first")
    house.function(CLAIM, None)
    house.seal("second")
    assert "DROP FUNCTION arvo_v1.claim" in up(house, "0003.before.second")
    assert (CLAIM, "") in blocks(up(house, "0003.before.second"))
    assert seal.check(house.tree) == []


def test_a_lost_grant_is_revoked(house):
    house.seal("first")
    grant = house.read(CLAIM).splitlines()[-1] + "\n"
    house.edit(CLAIM, grant, "")
    house.seal("second")
    revoke = (
        "REVOKE ALL ON FUNCTION arvo_v1.claim(text, integer, interval, text[]) FROM arvo_worker;"
    )
    assert revoke in up(house, "0003.before.second")
    assert revoke not in down(house, "0003.before.second")


def test_the_oldest_client_is_inherited_or_said(house):
    house.seal("first", oldest_client=2)
    assert "VALUES (2, '0002.before.first', 2, " in up(house, "0002.before.first")
    house.seal("second", phase="after")
    assert "VALUES (3, '0003.after.second', 2, " in up(house, "0003.after.second")


def test_an_unsealed_edit_is_a_fault(house):
    house.seal("first")
    house.edit(CLAIM, "p_limit < 1", "p_limit < 2")
    assert seal.check(house.tree) == [f"edited since it was sealed: {CLAIM} (press a migration)"]


def test_record_is_append_only_and_check_can_ask_for_it(house):
    assert seal.record(house.tree) == ["0001.before.ground.rollback.sql", "0001.before.ground.sql"]
    first = house.tree.seals_path.read_text()
    house.seal("first")
    assert seal.check(house.tree) == []
    assert seal.check(house.tree, released=True) == [
        "not sealed yet: 0002.before.first.rollback.sql",
        "not sealed yet: 0002.before.first.sql",
    ]
    seal.record(house.tree)
    assert house.tree.seals_path.read_text().startswith(first)
    assert seal.check(house.tree, released=True) == []


@pytest.mark.parametrize("change", ["edit", "remove line", "truncate", "undo"])
def test_a_touched_seal_is_noticed(house, change):
    house.seal("first")
    seal.record(house.tree)
    path = house.migrations / "0001.before.ground.sql"
    if change == "edit":
        path.write_text(path.read_text() + " ")
    elif change == "undo":
        undo = house.migrations / "0001.before.ground.rollback.sql"
        undo.write_text(undo.read_text().replace("loses", "keeps"))
    elif change == "truncate":
        for name in ("0002.before.first.sql", "0002.before.first.rollback.sql"):
            (house.migrations / name).unlink()
    else:
        lines = house.tree.seals_path.read_text().splitlines(keepends=True)
        house.tree.seals_path.write_text("".join(lines[1:]))
    with pytest.raises(SealBroken, match="a sealed migration was edited"):
        verify(house.tree)
    assert seal.check(house.tree) != []
    with pytest.raises(SealBroken):
        seal.record(house.tree)


def test_one_edit_changes_every_later_seal(house):
    house.seal("first")
    before = seal_lines(house.tree)
    path = house.migrations / "0001.before.ground.sql"
    path.write_text(path.read_text() + " ")
    after = seal_lines(house.tree)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False, False]


def test_a_malformed_function_is_not_sealed(house):
    house.edit(CLAIM, "SET search_path = pg_catalog, pg_temp\n", "")
    with pytest.raises(SqlTreeBroken, match="lacks SET search_path"):
        house.seal("first")
    assert not (house.migrations / "0002.before.first.sql").exists()


@pytest.mark.parametrize("slug", ["Bad", "../evil", "a b", "", "-a", "a.sql"])
def test_a_slug_is_no_path(house, slug):
    with pytest.raises(SqlTreeBroken, match="cannot press"):
        house.seal(slug)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("VALUES (1,", "VALUES (2,", "must insert its number"),
        ("-- Ground", "-- depends: 0000.before.x\n-- Ground", "depends on"),
        ("SET LOCAL ROLE arvo_owner;", "", "lacks SET LOCAL ROLE"),
        ("CREATE SCHEMA", "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS '';\nCREATE SCHEMA",
         "outside of a sealed block"),
        ("CREATE SCHEMA", "CREATE POLICY p ON arvo.queue TO arvo_client;\nCREATE SCHEMA",
         "cannot be installed without roles"),
    ],
)  # fmt: skip
def test_faults_of_a_migration_by_hand_are_found(house, old, new, fault):
    path = house.migrations / "0001.before.ground.sql"
    path.write_text(path.read_text().replace(old, new))
    assert any(fault in found for found in seal.check(house.tree))
    with pytest.raises(SqlTreeBroken):
        seal.record(house.tree)


@pytest.mark.parametrize(
    "name",
    ["0003.before.gap.sql", "post-apply.sql", "helper.py", "0001.before.lonely.rollback.sql"],
)
def test_files_that_yoyo_would_misread_are_refused(house, name):
    (house.migrations / name).write_text("SELECT 1;")
    with pytest.raises(SqlTreeBroken):
        house.tree.migrations()


def test_two_migrations_of_one_number_are_refused(house):
    house.table(2, "one")
    house.table(2, "two")
    with pytest.raises(SqlTreeBroken, match="not numbered"):
        house.tree.migrations()


def test_a_migration_without_undo_is_refused(house):
    (house.migrations / "0001.before.ground.rollback.sql").unlink()
    with pytest.raises(SqlTreeBroken, match="no undo"):
        house.tree.migrations()


def test_the_command_line(house):
    def run(*arguments):
        tool = Path(seal.__file__)
        command = [sys.executable, tool, "--sql-root", house.root, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    made = run("new", "first")
    assert (made.returncode, made.stdout.split()) == (0, ["0002.before.first", "arvo.clock", CLAIM])
    assert run("check").returncode == 0
    assert run("check", "--released").returncode == 1
    assert run("record").returncode == 0
    assert run("check", "--released").returncode == 0
    house.edit(CLAIM, "Takes up to", "Takes")
    edited = run("check")
    assert (edited.returncode, "edited since" in edited.stderr) == (1, True)
    assert run("new", "../x").returncode == 1
    assert run("nonsense").returncode == 2
