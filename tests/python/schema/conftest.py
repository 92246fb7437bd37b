"""A real server for each test run, a real database for each test."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from arvo_plpg import embedded


@pytest.fixture(scope="session")
def server():
    """Connection string of a throw-away server (superuser)."""
    if given := os.environ.get("ARVO_TEST_DSN"):
        yield given
        return
    # One of its own: these tests make and drop roles, which belong to the whole server.
    with embedded.start(options=["max_connections=200"]) as own:
        yield own.uri


def wait_until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.01)


@pytest.fixture
def until():
    return wait_until


_numbers = iter(range(1, 1_000_000))


@pytest.fixture
def dsn(server, schema):
    """An empty database of its own; roles of the test are dropped afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def schema(server):
    """A schema name that no other test uses, because roles belong to the whole server."""
    name = f"house_{os.getpid()}_{next(_numbers)}"
    yield name
    drop_roles(server, name)


def drop_roles(server, prefix):
    with psycopg.connect(server, autocommit=True) as conn:
        for (role,) in conn.execute(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (prefix + "_",)
        ).fetchall():
            conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


GROUND = """\
-- Ground of a small tree.

SET LOCAL ROLE arvo_owner;

CREATE TABLE arvo.revision (
    number integer,
    name text NOT NULL,
    oldest_client integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT revision_number_pkey PRIMARY KEY (number)
);

CREATE TABLE arvo.queue (
    name text,
    CONSTRAINT queue_name_pkey PRIMARY KEY (name)
);

CREATE SCHEMA arvo_v1;
GRANT USAGE ON SCHEMA arvo_v1 TO arvo_client, arvo_worker;

INSERT INTO arvo.revision (number, name, oldest_client) VALUES (1, '0001.before.ground', 0);
"""

UNDO_GROUND = """\
-- loses: every queue
SET LOCAL ROLE arvo_owner;
DROP SCHEMA arvo_v1;
DROP TABLE arvo.queue;
DROP TABLE arvo.revision;
"""

CLOCK = """\
-- arvo.clock() — the time.
CREATE OR REPLACE FUNCTION arvo.clock()
RETURNS timestamptz
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $clock$
-- The server's clock.
SELECT clock_timestamp();
$clock$;

COMMENT ON FUNCTION arvo.clock() IS
'The server''s time.';

REVOKE ALL ON FUNCTION arvo.clock() FROM PUBLIC;
"""

CLAIM = """\
-- arvo_v1.claim(queue, limit, wait) — take some.
CREATE OR REPLACE FUNCTION arvo_v1.claim(
    p_queue text,
    p_limit integer DEFAULT 10,
    p_wait interval DEFAULT interval '2 minutes',
    p_tags text[] DEFAULT ARRAY[]::text[]
)
RETURNS SETOF bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $claim$
-- Takes up to p_limit; a queue 'arvo.unroutable' is a queue like others.
BEGIN
    IF p_limit < 1 THEN
        RAISE EXCEPTION 'limit is too small'
            USING ERRCODE = 'RV001';
    END IF;
    PERFORM arvo.clock();
    PERFORM pg_notify('arvo_wake', p_queue);
    RETURN QUERY SELECT 1::bigint FROM arvo.queue AS q WHERE q.name = p_queue;
END;
$claim$;

COMMENT ON FUNCTION arvo_v1.claim(text, integer, interval, text[]) IS
'Takes some.';

REVOKE ALL ON FUNCTION arvo_v1.claim(text, integer, interval, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.claim(text, integer, interval, text[]) TO arvo_worker;
"""


class House:
    """A small SQL tree under construction."""

    def __init__(self, root):
        self.root = root
        self.migrations = root / "migrations"
        self.migrations.mkdir(parents=True)
        checkout = Path(__file__).parents[3]
        shutil.copy(checkout / "sql" / "roles.sql", root / "roles.sql")

    def ground(self):
        self.migration("0001.before.ground", GROUND, UNDO_GROUND)
        self.function("arvo.clock", CLOCK)
        self.function("arvo_v1.claim", CLAIM)
        return self

    def function(self, name, text):
        schema, _, short = name.partition(".")
        path = self.root / "functions" / schema / f"{short}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        if text:
            path.write_text(text)
        else:
            path.unlink()

    def read(self, name):
        schema, _, short = name.partition(".")
        return (self.root / "functions" / schema / f"{short}.sql").read_text()

    def edit(self, name, old, new):
        text = self.read(name)
        assert old in text
        self.function(name, text.replace(old, new))

    def migration(self, stem, up, down):
        (self.migrations / f"{stem}.sql").write_text(up)
        (self.migrations / f"{stem}.rollback.sql").write_text(down)

    def table(self, number, name, phase="before", extra=""):
        """Add a migration by hand that makes one table."""
        stem = f"{number:04d}.{phase}.{name}"
        previous = max(self.migrations.glob(f"{number - 1:04d}.*.sql")).stem
        self.migration(
            stem,
            f"-- depends: {previous}\nSET LOCAL ROLE arvo_owner;\n"
            f"CREATE TABLE arvo.{name} (id integer);\n{extra}"
            f"INSERT INTO arvo.revision (number, name, oldest_client)"
            f" VALUES ({number}, '{stem}', 0);\n",
            f"SET LOCAL ROLE arvo_owner;\nDROP TABLE arvo.{name};\n"
            f"DELETE FROM arvo.revision WHERE number = {number};\n",
        )

    def seal(self, slug="functions", **options):
        import seal

        return seal.new(self.tree, slug, **options)

    @property
    def tree(self):
        from arvo_plpg.schema.tree import SqlTree

        return SqlTree(self.root)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "sql").ground()
