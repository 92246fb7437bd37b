"""Every function file has the house's form, and the rules notice when one has not."""

from __future__ import annotations

import re

import pytest
import seal
import sqlparse
from pglast import parse_sql
from shape import shape_faults

from arvo_plpg.schema.lexer import statements
from arvo_plpg.schema.tree import SqlTree

TREE = SqlTree.find()

GOOD = """\
-- arvo_v1.take(queue) — take one.
CREATE OR REPLACE FUNCTION arvo_v1.take(
    p_queue text,
    p_wait interval DEFAULT interval '1 minute'
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $take$
BEGIN
    IF p_queue = '' THEN
        RAISE EXCEPTION 'queue has no name'
            USING ERRCODE = 'RV001';
    END IF;
    RETURN 1;
END;
$take$;

COMMENT ON FUNCTION arvo_v1.take(text, interval) IS
'Takes one.';

REVOKE ALL ON FUNCTION arvo_v1.take(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.take(text, interval) TO arvo_worker;
"""


@pytest.mark.parametrize("name", sorted(TREE.functions()))
def test_every_function_file_has_the_house_form(name):
    assert shape_faults(name, TREE.functions()[name]) == []


@pytest.mark.skipif(not TREE.migrations(), reason="no migrations yet")
def test_files_migrations_and_seals_agree():
    assert seal.check(TREE) == []


@pytest.mark.parametrize("path", TREE.migration_files(), ids=lambda path: path.name)
def test_three_readers_agree_where_statements_end(path):
    """yoyo runs what sqlparse cuts; editions are cut by our lexer; PostgreSQL decides."""
    text = path.read_text(encoding="utf-8")
    expected = len(parse_sql(text))
    assert len([s for s in statements(text) if s.significant]) == expected
    assert (
        len([s for s in sqlparse.split(text) if sqlparse.format(s, strip_comments=True)])
        == expected
    )


def test_the_good_example_is_good():
    assert shape_faults("arvo_v1.take", GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("OR REPLACE ", "", "is not CREATE OR REPLACE"),
        ("FUNCTION arvo_v1.take(\n", "FUNCTION arvo_v1.give(\n", "the path says"),
        ("SET search_path = pg_catalog, pg_temp\n", "", "lacks SET search_path"),
        ("pg_catalog, pg_temp", "pg_catalog, public", "lacks SET search_path"),
        ("REVOKE ALL ON FUNCTION arvo_v1.take(text, interval) FROM PUBLIC;", "", "must be CR"),
        ("(text, interval) FROM PUBLIC", "(text) FROM PUBLIC", "another function"),
        ("USING ERRCODE = 'RV001'", "USING HINT = 'none'", "without ERRCODE"),
        ("'RV001'", "'RV000'", "without ERRCODE"),
        ("'RV001'", "'40001'", "without ERRCODE"),
        ("RAISE EXCEPTION 'queue has no name'\n            USING ERRCODE = 'RV001'",
         "RAISE unique_violation", "without ERRCODE"),
        ("RETURN 1;", "EXECUTE 'SELECT 1'; RETURN 1;", "uses EXECUTE"),
        ("SECURITY DEFINER\n", "", "must be SECURITY DEFINER"),
        ("VOLATILE\n", "", "must say VOLATILE"),
        ("p_queue text", "queue text", "must begin with p_"),
        ("TO arvo_worker", "TO joe", "roles that are not ours"),
        ("TO arvo_worker", "TO arvo_worker WITH GRANT OPTION", "without grant option"),
        ("$take$", "$body$", "dollar tag"),
        ("DEFAULT interval '1 minute'", "DEFAULT make_interval(mins => 1)", "a default is"),
        ("RETURN 1;", "RETURN 1", "syntax error"),
        ("    p_queue text,", "    OUT p_queue text,", "house's form|of the form"),
        ("RETURNS bigint", "RETURNS TABLE (id bigint)", "house's form"),
    ],
)  # fmt: skip
def test_each_rule_notices(old, new, fault):
    assert old in GOOD
    faults = shape_faults("arvo_v1.take", GOOD.replace(old, new))
    assert any(re.search(fault, found) for found in faults), faults


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RETURNS bigint", "RETURNS arvo_v1.taken"),
        ("    p_queue text,\n", "    p_queue arvo_v1.name,\n    p_all arvo_v1.name[],\n"),
        ("AS $take$\n", "AS $take$\nDECLARE\n    v_row arvo.queue;\n    v_all arvo.queue[];\n"),
        ("AS $take$\n", "AS $take$\nDECLARE\n    v_at timestamptz := arvo.clock();\n"),
        ("AS $take$\n", "AS $take$\nDECLARE\n    v_at arvo.queue.name%TYPE;\n"),
        ("AS $take$\n", "AS $take$\nDECLARE\n    v_at arvo.queue%ROWTYPE;\n"),
        ("RETURN 1;", "RETURN (SELECT q.n::arvo_v1.name FROM arvo.queue AS q);"),
    ],
)
def test_types_of_our_own_are_fine(old, new):
    text = GOOD.replace(old, new)
    if "p_all" in new:
        text = text.replace("(text, interval)", "(arvo_v1.name, arvo_v1.name[], interval)")
    assert shape_faults("arvo_v1.take", text) == []
    bad = text.replace("USING ERRCODE = 'RV001'", "USING HINT = 'none'")
    assert any("without ERRCODE" in fault for fault in shape_faults("arvo_v1.take", bad))


def test_dynamic_sql_is_for_those_on_the_list():
    text = GOOD.replace("RETURN 1;", "EXECUTE 'SELECT 1'; RETURN 1;")
    assert shape_faults("arvo_v1.take", text, frozenset({"arvo_v1.take"})) == []


def test_a_private_function_is_granted_to_nobody():
    text = GOOD.replace("arvo_v1.", "arvo.")
    assert shape_faults("arvo.take", text) == [
        "arvo.take: is private: nobody but the owner may execute it"
    ]


def test_a_second_function_in_a_file_is_noticed():
    assert any("must be CREATE" in fault for fault in shape_faults("arvo_v1.take", GOOD + GOOD))
