"""The doctor notices every way in which a database can differ from its migrations."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from arvo_plpg import errors
from arvo_plpg.schema import doctor, migrate, rollback
from arvo_plpg.schema.defaults import is_constant

CLAIM = "claim(text, integer, interval, text[])"

BODY = """CREATE OR REPLACE FUNCTION {s}.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
          SET search_path = pg_catalog, pg_temp AS $$ SELECT now() $$"""
DEFAULT = """CREATE OR REPLACE FUNCTION {s}_v1.claim(p_queue text, p_limit integer DEFAULT 10,
             p_wait interval DEFAULT '3 minutes', p_tags text[] DEFAULT ARRAY[]::text[])
             RETURNS SETOF bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER
             SET search_path = pg_catalog, pg_temp AS $f$%s$f$"""

MUTATIONS = [
    ("body", BODY),
    ("attributes", "ALTER FUNCTION {s}_v1." + CLAIM + " SECURITY INVOKER"),
    ("attributes", "ALTER FUNCTION {s}.clock() SECURITY DEFINER"),
    ("attributes", "ALTER FUNCTION {s}.clock() STABLE"),
    ("attributes", "ALTER FUNCTION {s}.clock() PARALLEL SAFE"),
    ("attributes", "ALTER FUNCTION {s}.clock() STRICT"),
    ("attributes", "ALTER FUNCTION {s}.clock() LEAKPROOF"),
    ("attributes", "ALTER FUNCTION {s}.clock() COST 1"),
    ("attributes", "ALTER FUNCTION {s}_v1." + CLAIM + " ROWS 5"),
    ("settings", "ALTER FUNCTION {s}.clock() RESET search_path"),
    ("settings", "ALTER FUNCTION {s}.clock() SET search_path = public"),
    ("settings", "ALTER FUNCTION {s}.clock() SET work_mem = '64MB'"),
    ("owner", "ALTER FUNCTION {s}.clock() OWNER TO CURRENT_USER"),
    ("owner", "ALTER TABLE {s}.queue OWNER TO CURRENT_USER"),
    ("owner", "ALTER SCHEMA {s}_v1 OWNER TO CURRENT_USER"),
    ("comment", "COMMENT ON FUNCTION {s}.clock() IS 'Ha.'"),
    ("comment", "COMMENT ON FUNCTION {s}.clock() IS NULL"),
    ("missing", "DROP FUNCTION {s}.clock()"),
    ("missing", "ALTER FUNCTION {s}.clock() RENAME TO watch"),
    ("unknown", "CREATE FUNCTION {s}_v1.extra() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    ("unknown", "CREATE PROCEDURE {s}.extra() LANGUAGE sql AS ''"),
    ("overloaded", "CREATE FUNCTION {s}.clock(int) RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    ("public", "GRANT EXECUTE ON FUNCTION {s}.clock() TO PUBLIC"),
    ("grant", "GRANT EXECUTE ON FUNCTION {s}.clock() TO {s}_client"),
    ("grant", "GRANT EXECUTE ON FUNCTION {s}_v1." + CLAIM + " TO {s}_monitor"),
    ("grant", "GRANT EXECUTE ON FUNCTION {s}_v1." + CLAIM + " TO {s}_worker WITH GRANT OPTION"),
    ("grant", "REVOKE EXECUTE ON FUNCTION {s}_v1." + CLAIM + " FROM {s}_worker"),
    ("grant", "GRANT SELECT ON {s}.queue TO {s}_client"),
    ("grant", "GRANT SELECT ON {s}.queue TO PUBLIC"),
    ("grant", "GRANT UPDATE (name) ON {s}.queue TO {s}_worker"),
    ("grant", "GRANT USAGE ON SCHEMA {s} TO {s}_client"),
    ("grant", "GRANT CREATE ON SCHEMA {s}_v1 TO {s}_client"),
    ("grant", "GRANT USAGE ON SCHEMA {s}_v1 TO PUBLIC"),
    ("grant", "REVOKE USAGE ON SCHEMA {s}_v1 FROM {s}_worker"),
    ("grant", "GRANT {s}_owner TO {s}_client"),
    ("ledger", "DELETE FROM {s}._yoyo_migration WHERE migration_id LIKE '0002%'"),
]


@pytest.fixture
def healthy(dsn, schema, house):
    house.seal()
    migrate(dsn, schema=schema, sql_root=house.root)
    assert doctor(dsn, schema=schema, sql_root=house.root).findings == []
    return house


def findings(dsn, schema, house):
    return doctor(dsn, schema=schema, sql_root=house.root).findings


def change(dsn, statement):
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(statement)


def body_of_claim(dsn, schema):
    with psycopg.connect(dsn) as conn:
        return conn.execute(
            "SELECT prosrc FROM pg_proc"
            " WHERE proname = 'claim' AND pronamespace = %s::regnamespace",
            (f"{schema}_v1",),
        ).fetchone()[0]


def test_what_the_report_says_of_a_healthy_database(dsn, schema, healthy):
    report = doctor(dsn, schema=schema, sql_root=healthy.root)
    assert report.as_dict() == {
        "healthy": True,
        "schema": schema,
        "roles": True,
        "revision": 2,
        "pending": [],
        "functions": 2,
        "findings": [],
        "warnings": [],
        "vitals": [],
        "advice": [],
    }


@pytest.mark.parametrize(("kind", "statement"), MUTATIONS, ids=lambda value: value[:60])
def test_every_change_is_noticed(dsn, schema, healthy, kind, statement):
    change(dsn, statement.replace("{s}", schema))
    assert kind in {finding.kind for finding in findings(dsn, schema, healthy)}


def test_a_changed_default_is_noticed_and_nothing_else(dsn, schema, healthy):
    body = body_of_claim(dsn, schema)
    change(dsn, (DEFAULT % body).replace("{s}", schema))
    (found,) = findings(dsn, schema, healthy)
    assert found.kind == "default"
    assert found.detail.startswith("p_wait: expected \"interval '2 minutes'\"")


@pytest.mark.parametrize(
    ("parameter", "healthy"),
    [
        ("p_x timestamptz DEFAULT now()", True),
        ("p_x timestamptz DEFAULT {s}.clock()", True),
        ("p_x {s}.queue DEFAULT NULL", True),
        ("p_x regclass DEFAULT NULL", True),
        ("p_x jsonb DEFAULT '{\"a\": 1}'", True),
        ("p_x integer DEFAULT -1", True),
        ("p_x numeric DEFAULT 1.50", True),
        ("p_x timestamptz DEFAULT clock_timestamp()", False),
    ],
)
def test_defaults_of_every_kind_are_compared(dsn, schema, house, parameter, healthy):
    """The last one is what is written; the database is then given another."""
    text = house.read("arvo_v1.claim")
    house.function("arvo_v1.claim", text.replace("p_tags text[] DEFAULT ARRAY[]::text[]",
                   parameter.replace("{s}", "arvo")).replace("text[])", "{T})"))  # fmt: skip
    kind = parameter.split(" DEFAULT")[0].split(" ")[1].replace("{s}", "arvo")
    house.edit("arvo_v1.claim", "{T}", kind)
    house.seal()
    migrate(dsn, schema=schema, sql_root=house.root)
    if not healthy:
        made = house.read("arvo_v1.claim").split("COMMENT")[0].replace("arvo", schema)
        change(dsn, made.replace("clock_timestamp()", "statement_timestamp()"))
    kinds = {finding.kind for finding in findings(dsn, schema, house)}
    assert kinds - {"body"} == (set() if healthy else {"default"})


def test_a_changed_parameter_or_result_is_noticed(dsn, schema, healthy):
    change(
        dsn,
        f"""DROP FUNCTION {schema}.clock();
            CREATE FUNCTION {schema}.clock(p_x int) RETURNS text LANGUAGE sql
            AS 'SELECT NULL::text'""",
    )
    kinds = {finding.kind for finding in findings(dsn, schema, healthy)}
    assert {"signature", "returns", "body", "settings", "owner", "public"} <= kinds


def test_a_database_that_waits_for_its_after_step_is_healthy(dsn, schema, healthy):
    healthy.edit("arvo.clock", "The server's", "Our server's")
    healthy.seal("later", phase="after")
    report = doctor(dsn, schema=schema, sql_root=healthy.root)
    assert (report.findings, report.pending) == ([], ["0003.after.later"])
    migrate(dsn, schema=schema, sql_root=healthy.root, after=True)
    assert findings(dsn, schema, healthy) == []


def test_a_default_found_in_the_catalog_is_never_run(dsn, schema, healthy):
    """Who may change a default must not make the doctor, perhaps a superuser, run it."""
    change(dsn, f"CREATE FUNCTION {schema}.evil() RETURNS interval LANGUAGE plpgsql IMMUTABLE AS "
                "$$BEGIN RAISE EXCEPTION 'was run'; END$$")  # fmt: skip
    body = body_of_claim(dsn, schema)
    text = (DEFAULT % body).replace("'3 minutes'", "{s}.evil()")
    change(dsn, text.replace("{s}", schema))
    kinds = {finding.kind for finding in findings(dsn, schema, healthy)}
    assert kinds == {"default", "unknown", "public"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("interval '2 minutes'", True),
        ("'00:02:00'::interval", True),
        ("NULL::text", True),
        ("10", True),
        ("- 1.5", True),
        ("ARRAY[]::text[]", True),
        ("'{}'::jsonb", True),
        ("true", True),
        ("now()", False),
        ("interval(3) '1'", False),
        ("text('x')", False),
        ("arvo.evil()", False),
        ("'x'::arvo.evil", False),
        ("CURRENT_USER", False),
        ("(SELECT 1)", False),
        ("1; DROP TABLE x", False),
        ('"text"', False),
        ("1 -- x", True),
        ("", False),
    ],
)
def test_what_counts_as_a_constant(expression, expected):
    assert is_constant(expression) is expected


def test_nothing_installed_is_its_own_error(dsn, schema, house):
    with pytest.raises(errors.SchemaMissing, match="Run: arvo-plpg migrate"):
        doctor(dsn, schema=schema, sql_root=house.root)
    migrate(dsn, schema=schema, sql_root=house.root)
    rollback(dsn, schema=schema, sql_root=house.root, to=0, yes_lose_data=True)
    with pytest.raises(errors.SchemaMissing):
        doctor(dsn, schema=schema, sql_root=house.root)


def test_a_member_of_the_owner_may_examine(dsn, schema, healthy):
    change(dsn, f"CREATE ROLE {schema}_joe LOGIN IN ROLE {schema}_owner")
    joe = make_conninfo(dsn, user=f"{schema}_joe")
    assert findings(joe, schema, healthy) == []


def test_without_roles_the_contract_is_granted_as_its_users_see_fit(dsn, schema, house):
    house.seal()
    migrate(dsn, schema=schema, roles=False, sql_root=house.root)
    change(dsn, f"CREATE ROLE {schema}_app")
    change(dsn, f"GRANT USAGE ON SCHEMA {schema}_v1 TO {schema}_app")
    change(dsn, f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema}_v1 TO {schema}_app")
    assert findings(dsn, schema, house) == []
    change(dsn, f"GRANT EXECUTE ON FUNCTION {schema}.clock() TO {schema}_app")
    change(dsn, f"GRANT SELECT ON {schema}.queue TO {schema}_app")
    assert [f.kind for f in findings(dsn, schema, house)] == ["grant", "grant"]
