"""A caller who puts objects of the catalogue's names before it diverts no function of the contract.

Traps and calls are made from the catalogue: whatever a function of ours may name, under that name,
in a schema that comes first and in the temporary one; and every function of the contract.
"""

import secrets
from random import Random

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from fuzz import calls
from fuzz.run import Run

SPRUNG = "P0666"
TRIES = 60
WORDS = """
SELECT DISTINCT word[1] AS word
FROM pg_proc AS p
CROSS JOIN LATERAL regexp_matches(lower(p.prosrc), '[a-z_][a-z0-9_]*', 'g') AS word
WHERE p.pronamespace IN ('arvo'::regnamespace, 'arvo_v1'::regnamespace)
"""
# Whatever cannot be made (some pseudo-types are for C only) is left out; what is made is counted.
LAY = f"""
CREATE SCHEMA evil;
GRANT ALL ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.spring() RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'sprung as %', current_user USING ERRCODE = '{SPRUNG}'; END $$;
CREATE TABLE evil.laid (kind text, name text);
GRANT SELECT ON evil.laid TO PUBLIC;
CREATE TEMPORARY TABLE word AS {WORDS};
DO $lay$
DECLARE
    one record;
    v_body text := $$'BEGIN PERFORM evil.spring(); RETURN NULL; END'$$;
BEGIN
    FOR one IN
        SELECT p.oid::regprocedure::text AS name, p.proname, p.proretset,
               pg_get_function_identity_arguments(p.oid) AS arguments,
               format_type(p.prorettype, NULL) AS result
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
        AND p.proname IN (SELECT word FROM word)
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %s',
                one.proname, one.arguments, one.result, v_body);
            INSERT INTO evil.laid VALUES ('function', one.name);
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    FOR one IN
        SELECT o.oid, o.oprname, o.oid::regoperator::text AS name,
               nullif(o.oprleft, 0)::regtype AS lefts, o.oprright::regtype AS rights,
               o.oprresult::regtype AS result
        FROM pg_operator AS o
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION evil.op_%s(%s) RETURNS %s LANGUAGE plpgsql AS %s',
                one.oid, concat_ws(', ', one.lefts, one.rights), one.result, v_body);
            EXECUTE format('CREATE OPERATOR evil.%s (%s RIGHTARG = %s, FUNCTION = evil.op_%s)',
                one.oprname, 'LEFTARG = ' || one.lefts || ',', one.rights, one.oid);
            INSERT INTO evil.laid VALUES ('operator', one.name);
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    FOR one IN
        SELECT DISTINCT ON (c.relname) c.relname AS name, (
            SELECT string_agg(
                format('NULL::%s AS %I', format_type(a.atttypid, a.atttypmod), a.attname), ', '
                ORDER BY a.attnum
            )
            FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ) AS columns
        FROM pg_class AS c
        WHERE c.relkind IN ('r', 'p', 'v', 'S') AND (
            c.relnamespace = 'arvo'::regnamespace
            OR c.relnamespace = 'pg_catalog'::regnamespace AND c.relname IN (SELECT word FROM word)
        )
    LOOP
        BEGIN
            EXECUTE format('CREATE VIEW evil.%I AS SELECT %s WHERE evil.spring()',
                one.name, one.columns);
            EXECUTE format('GRANT ALL ON evil.%I TO PUBLIC', one.name);
            INSERT INTO evil.laid VALUES ('relation', one.name);
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    FOR one IN
        SELECT t.typname AS name, n.nspname AS schema
        FROM pg_type AS t
        INNER JOIN pg_namespace AS n ON n.oid = t.typnamespace
        WHERE t.typname IN (SELECT word FROM word) AND t.typtype IN ('b', 'c', 'd')
        AND n.nspname IN ('pg_catalog', 'arvo', 'arvo_v1')
    LOOP
        BEGIN
            EXECUTE format('CREATE DOMAIN evil.%I AS %I.%I CHECK (evil.spring())',
                one.name, one.schema, one.name);
            INSERT INTO evil.laid VALUES ('type', one.name);
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
END
$lay$;
"""
# In the caller's own temporary schema: relations and types. Functions and operators are never
# looked up there unless their name says so.
LAY_TEMPORARY = """
DO $lay$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT kind, name FROM evil.laid WHERE kind IN ('relation', 'type') ORDER BY kind
    LOOP
        BEGIN
            EXECUTE format(
                CASE one.kind
                    WHEN 'relation' THEN 'CREATE TEMPORARY VIEW %I AS SELECT * FROM evil.%I'
                    ELSE 'CREATE DOMAIN pg_temp.%I AS evil.%I'
                END, one.name, one.name);
        EXCEPTION WHEN duplicate_object THEN
            NULL;
        END;
    END LOOP;
END
$lay$;
"""


class Bare(calls.Call):
    """A call whose arguments take the types of the function, not of names that its text gives."""

    @property
    def statement(self) -> str:
        given = ", ".join(f"{name} => %s" for name, _, _ in self.arguments)
        return f"SELECT * FROM arvo_v1.{self.function.name}({given})"


class Hostile(Run):
    """The calls of the fuzzer, all of them sensible, made by a session with traps."""

    def __init__(self, dsn, session):
        super().__init__(dsn, seed=20302)
        self.connection.close()
        self.connection = session

    def try_out(self, function):
        """Call a function until it has answered."""
        for share in (Random(n).random() for n in range(TRIES)):
            given = tuple(
                (name, kind, calls.argument(name[2:], kind, self.sense, self.chance, 0))
                for number, (name, kind) in enumerate(function.arguments)
                if number < function.required or self.chance.random() < share / 2
            )
            self.call(Bare(function, given))
            if self.verdict.functions[function.name]:
                return


@pytest.fixture
def eve(connection, dsn):
    """A session with the rights of all groups, and traps before the catalogue."""
    name, password = f"eve_{secrets.token_hex(4)}", secrets.token_hex(8)
    connection.execute(LAY)
    connection.execute(
        sql.SQL(
            "CREATE ROLE {0} LOGIN PASSWORD {1};"
            "GRANT arvo_client, arvo_worker, arvo_operator, arvo_monitor TO {0}"
        ).format(sql.Identifier(name), sql.Literal(password))
    )
    session = psycopg.connect(make_conninfo(dsn, user=name, password=password), autocommit=True)
    session.execute(LAY_TEMPORARY)
    session.execute("SET search_path = evil, pg_temp, pg_catalog; SET statement_timeout = '20s'")
    yield session
    session.close()
    connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE").format(sql.Identifier(name)))
    connection.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))


def test_the_traps_spring(connection, eve):
    laid = dict(connection.execute("SELECT kind, count(*) FROM evil.laid GROUP BY kind").fetchall())
    assert laid["function"] > 150
    assert laid["operator"] > 500
    assert laid["relation"] > 60
    assert laid["type"] > 15
    for statement in (
        "SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text",
        "SELECT '{}'::pg_catalog.jsonb ->> 'a'",
        "SELECT '{}'::jsonb",
        "SELECT '{}'::pg_temp.jsonb",
        "SELECT name FROM queue",
        "SELECT name FROM pg_temp.queue",
        "SELECT pg_catalog.now() FROM pg_class",
        "SELECT hashtextextended('a', 0)",
        "SELECT to_jsonb('a'::pg_catalog.text)",
        "SELECT pg_current_snapshot()",
    ):
        with pytest.raises(psycopg.Error) as caught:
            eve.execute(statement)
        assert caught.value.sqlstate == SPRUNG, statement


@pytest.mark.timeout(180)
def test_no_function_of_the_contract_is_diverted(dsn, eve):
    run = Hostile(dsn, eve)
    for name in ("register_queue", "dispatch", "dispatch_many", "claim", "work", "write_state"):
        for _ in range(5):
            run.verdict.functions.pop(name, None)
            run.try_out(next(known for known in run.functions if known.name == name))
    run.verdict.functions.clear()
    for function in run.functions:
        run.try_out(function)
    assert run.verdict.faults == []
    silent = {known.name for known in run.functions} - run.verdict.functions.keys()
    assert silent == set()


@pytest.mark.parametrize("name", ["dispatch", "work", "write_state"])
def test_a_function_that_pins_nothing_is_seen(dsn, connection, eve, name):
    (signature,) = connection.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE oid = %s::regproc", [f"arvo_v1.{name}"]
    ).fetchone()
    connection.execute(f"ALTER FUNCTION {signature} RESET search_path")
    run = Hostile(dsn, eve)
    run.try_out(next(known for known in run.functions if known.name == name))
    assert any(SPRUNG in fault for fault in run.verdict.faults), run.verdict.faults
