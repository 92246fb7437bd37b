"""Editions: other names in, nothing else changed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arvo_plpg.errors import InvalidSchemaName, SqlTreeBroken
from arvo_plpg.schema import Edition, Names
from arvo_plpg.schema.edition import rename, without_roles
from arvo_plpg.schema.lexer import lex, statements
from arvo_plpg.schema.tree import SqlTree

PIECES = st.sampled_from(
    [
        *("arvo", "arvo_v1", "arvo_owner", "arvoX", "my_arvo", "arvo_wake", "'arvo'", '"arvo"'),
        *("'", "''", '"', "$$", "$a$", "$a", "--", "/*", "*/", "E'\\''", "\n", " ", ";", ".", "::"),
        *(
            "regclass",
            "$1",
            "é",
            "arvo.frozen_clock",
            "'arvo.queue'",
            "U&'",
            "\\",
            "GRANT",
            "PUBLIC",
        ),
    ]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join) | st.text()


@given(TEXTS)
@example("-- it's\n'arvo'")
@example("$a$ unclosed")
@example("/* /* */ still a comment")
def test_tokens_lose_nothing(text):
    assert "".join(token.text for token in lex(text)) == text


@given(TEXTS)
def test_statements_lose_nothing(text):
    parts = [t.text for s in statements(text) for t in (*s.before, *s.tokens)]
    assert "".join(parts) == text


@given(TEXTS)
def test_the_default_edition_is_the_identity(text):
    assert rename(text, "arvo") == text
    assert Edition(Names()).text(text) == text


@given(TEXTS)
def test_without_roles_leaves_a_text_alone_that_names_none(text):
    text = text.replace("_owner", "")
    assert without_roles(text) == text


@given(TEXTS)
def test_an_edition_renamed_back_is_the_text(text):
    """Renaming to a word that is nowhere in the text loses nothing."""
    away = rename(text.replace("zzz", ""), "zzz")
    assert away.replace("zzz", "arvo") == text.replace("zzz", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT arvo.clock();", "SELECT billing.clock();"),
        ("arvo_v12.claim, arvo_owner", "billing_v12.claim, billing_owner"),
        ("arvoX my_arvo arvo_vx arvo_plpg arvo_v1x", "arvoX my_arvo arvo_vx arvo_plpg arvo_v1x"),
        ('"arvo" "arvo_v1" "my arvo"', '"billing" "billing_v1" "my arvo"'),
        ("'arvo' 'arvo_worker'", "'billing' 'billing_worker'"),
        ("E'arvo' E'it\\'s arvo'", "E'billing' E'it\\'s arvo'"),
        ("'arvo.unroutable'", "'arvo.unroutable'"),
        ("'arvo.domain.x' 'profile=arvo'", "'arvo.domain.x' 'profile=arvo'"),
        ("current_setting('arvo.frozen_clock')", "current_setting('arvo.frozen_clock')"),
        ("SET LOCAL arvo.frozen_clock = ''", "SET LOCAL arvo.frozen_clock = ''"),
        ("-- SET arvo.frozen_clock, arvo.x", "-- SET arvo.frozen_clock, billing.x"),
        ("pg_notify('arvo_wake', '')", "pg_notify('billing_wake', '')"),
        ("LISTEN arvo_wake", "LISTEN billing_wake"),
        ("'arvo.queue'::regclass", "'billing.queue'::regclass"),
        ("'arvo.queue' :: regclass::oid", "'billing.queue' :: regclass::oid"),
        ("'arvo_v1.claim'::regproc", "'billing_v1.claim'::regproc"),
        ("'arvo.f(arvo.t)'::regprocedure", "'billing.f(billing.t)'::regprocedure"),
        ("'arvo.queue'::text", "'arvo.queue'::text"),
        ("nextval('arvo.seq')", "nextval('billing.seq')"),
        ("to_regclass( 'arvo.t' )", "to_regclass( 'billing.t' )"),
        ("lower('arvo.t')", "lower('arvo.t')"),
        ("-- don't rename 'arvo' less\narvo.x", "-- don't rename 'billing' less\nbilling.x"),
        ("/* it's /* arvo */ arvo */ arvo", "/* it's /* billing */ billing */ billing"),
        ("/* /* x */ it's */ arvo", "/* /* x */ it's */ billing"),
        ("'it''s arvo' arvo", "'it''s arvo' billing"),
        ("'-- arvo' arvo", "'-- arvo' billing"),
        ("$a$ arvo $b$ arvo 'arvo.x' $b$ $a$", "$a$ billing $b$ billing 'arvo.x' $b$ $a$"),
        ("$m$don't$m$ arvo", "$m$don't$m$ billing"),
        ("$arvo$ arvo $arvo$", "$arvo$ billing $arvo$"),
        ("f($1, arvo.x) $2", "f($1, billing.x) $2"),
        ("-- the package arvo-plpg and my-arvo", "-- the package arvo-plpg and my-arvo"),
        ("ARVO Arvo", "ARVO Arvo"),
    ],
)
def test_renames_names_and_nothing_else(text, expected):
    assert rename(text, "billing") == expected


@pytest.mark.parametrize(
    "name", ["", "Arvo", "1st", "pg_arvo", "a" * 41, "a-b", 'a"b', "a;b", "ä", "a\n", "_a"]
)
def test_a_name_that_breaks_the_rule_is_refused(name):
    with pytest.raises(InvalidSchemaName, match=r"Use 1 to 40"):
        Names(name)


def test_the_longest_name_still_leaves_room_for_suffixes():
    assert all(len(role) <= 63 for role in Names("a" * 40).all_roles)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET LOCAL ROLE arvo_owner;\nSELECT 1;\n", "SELECT 1;\n"),
        ("GRANT EXECUTE ON FUNCTION f() TO arvo_worker, arvo_client;\n", ""),
        ("REVOKE ALL ON FUNCTION f() FROM arvo_worker;\n", ""),
        ("REVOKE ALL ON FUNCTION f() FROM PUBLIC;\n", "REVOKE ALL ON FUNCTION f() FROM PUBLIC;\n"),
        ("ALTER TABLE arvo.t OWNER TO arvo_owner;\n", ""),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE arvo_owner GRANT SELECT ON TABLES TO joe;", ""),
        ("CREATE SCHEMA arvo_v1 AUTHORIZATION arvo_owner;", "CREATE SCHEMA arvo_v1;"),
        ("-- why\nGRANT USAGE ON SCHEMA s TO arvo_client;\nSELECT 2;", "-- why\nSELECT 2;"),
        (
            "DO $$ BEGIN GRANT x TO arvo_client; END $$;",
            "DO $$ BEGIN GRANT x TO arvo_client; END $$;",
        ),
        ("SELECT 'GRANT x TO arvo_client;';", "SELECT 'GRANT x TO arvo_client;';"),
        ("-- GRANT x TO arvo_client;\nSELECT 1;", "-- GRANT x TO arvo_client;\nSELECT 1;"),
    ],
)
def test_without_roles_leaves_out_what_only_serves_roles(text, expected):
    assert without_roles(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "REVOKE ALL ON FUNCTION f() FROM PUBLIC, arvo_client;",
        "CREATE POLICY p ON t TO arvo_client;",
        "SELECT pg_has_role('arvo_worker', 'MEMBER');",
    ],
)
def test_without_roles_refuses_what_it_cannot_leave_out(text):
    with pytest.raises(SqlTreeBroken, match="without roles"):
        without_roles(text)


@pytest.mark.parametrize(
    "path", SqlTree.find().migration_files() or [SqlTree.find().root / "roles.sql"], ids=str
)
def test_every_real_file_has_its_editions(path):
    text = path.read_text(encoding="utf-8")
    assert Edition(Names()).text(text) == text
    assert "zzz" in rename(text, "zzz")
    assert rename(text, "zzz").replace("zzz", "arvo") == text
    if path.name != "roles.sql":
        without_roles(text)
