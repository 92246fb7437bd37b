"""Up one by one, down one by one, up again: every rung looks the same each time."""

from __future__ import annotations

import psycopg
import pytest

from arvo_plpg.schema import doctor, migrate, rollback
from arvo_plpg.schema.tree import SqlTree

OURS = "nspname ~ ('^' || %(schema)s || '(_v[0-9]+)?$')"
NOT_YOYO = "relname !~ '^_?yoyo'"
# Without what PostgreSQL 15.20 notes there for itself, with another number for each table.
OPTIONS = r"""(SELECT array_agg(one ORDER BY one) FROM unnest(attoptions) AS one
                 WHERE one !~ '^pg_attver=')::text"""

QUERIES = (
    f"SELECT nspname, nspowner::regrole::text, nspacl::text FROM pg_namespace WHERE {OURS}",
    f"""SELECT nspname, relname, relkind, relowner::regrole::text, relacl::text, reloptions::text,
               relpersistence, pg_get_partkeydef(c.oid), pg_get_expr(relpartbound, c.oid),
               obj_description(c.oid, 'pg_class'), pg_get_viewdef(c.oid)
          FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
         WHERE {OURS} AND {NOT_YOYO} AND relkind <> 'i' ORDER BY 1, 2""",
    f"""SELECT nspname, relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
               attgenerated, attacl::text, {OPTIONS}, attstorage,
               pg_get_expr(adbin, adrelid), col_description(c.oid, attnum),
               row_number() OVER (PARTITION BY c.oid ORDER BY attnum)
          FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = attrelid
          JOIN pg_namespace AS n ON n.oid = relnamespace
          LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE {OURS} AND {NOT_YOYO} AND attnum > 0 AND NOT attisdropped ORDER BY 1, 2, 3""",
    f"""SELECT nspname, conrelid::regclass::text, conname, pg_get_constraintdef(k.oid), convalidated
          FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = connamespace
         WHERE {OURS} AND conrelid::regclass::text !~ 'yoyo' ORDER BY 1, 2, 3""",
    f"""SELECT nspname, c.relname, pg_get_indexdef(indexrelid), indisvalid
          FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid
          JOIN pg_class AS t ON t.oid = indrelid
          JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE {OURS} AND t.relname !~ '^_?yoyo' ORDER BY 1, 2""",
    f"""SELECT nspname, relname, tgname, pg_get_triggerdef(g.oid)
          FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = tgrelid
          JOIN pg_namespace AS n ON n.oid = relnamespace
         WHERE {OURS} AND NOT tgisinternal ORDER BY 1, 2, 3""",
    f"""SELECT nspname, typname, typtype, typowner::regrole::text, typacl::text,
               obj_description(y.oid, 'pg_type')
          FROM pg_type AS y JOIN pg_namespace AS n ON n.oid = typnamespace
         WHERE {OURS} AND typname !~ 'yoyo' ORDER BY 1, 2""",
    f"""SELECT nspname, p.oid::regprocedure::text, pg_get_functiondef(p.oid),
               proowner::regrole::text, ARRAY(SELECT unnest(proacl)::text ORDER BY 1),
               obj_description(p.oid, 'pg_proc')
          FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace
         WHERE {OURS} AND prokind IN ('f', 'p') ORDER BY 1, 2""",
    f"""SELECT nspname, relname, seqtypid::regtype::text, seqstart, seqincrement, seqmax, seqmin,
               seqcache, seqcycle
          FROM pg_sequence JOIN pg_class AS c ON c.oid = seqrelid
          JOIN pg_namespace AS n ON n.oid = relnamespace WHERE {OURS} ORDER BY 1, 2""",
)


def snapshot(dsn, schema):
    """Everything of an installation that the catalog shows, without object numbers."""
    with psycopg.connect(dsn) as conn:
        conn.execute("SET search_path = pg_catalog")
        return [conn.execute(query, {"schema": schema}).fetchall() for query in QUERIES]


def climb(dsn, schema, root, roles):
    seen = []
    for migration in SqlTree(root).migrations():
        options = {"schema": schema, "sql_root": root, "roles": roles}
        assert migrate(dsn, to=migration.number, after=True, **options) == [migration.id]
        assert doctor(dsn, schema=schema, sql_root=root).findings == []
        seen.append(snapshot(dsn, schema))
    return seen


def prove_ladder(dsn, schema, root, *, roles=True):
    first = climb(dsn, schema, root, roles)
    migrations = SqlTree(root).migrations()
    for migration, below in zip(reversed(migrations), [*reversed(first[:-1]), None], strict=True):
        number = migration.number - 1
        undone = rollback(dsn, to=number, schema=schema, sql_root=root, yes_lose_data=True)
        assert undone == [migration.id]
        if below is not None:
            assert snapshot(dsn, schema) == below
    with psycopg.connect(dsn) as conn:
        conn.execute("SET search_path = pg_catalog")
        left = conn.execute(
            f"""SELECT relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
                 WHERE {OURS} AND {NOT_YOYO} AND relkind <> 'i' UNION ALL
                SELECT proname FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace
                 WHERE {OURS} UNION ALL
                SELECT nspname FROM pg_namespace AS n WHERE {OURS} AND nspname <> %(schema)s""",
            {"schema": schema},
        ).fetchall()
    assert left == []
    assert climb(dsn, schema, root, roles) == first


@pytest.fixture
def small(house):
    house.seal("first")
    house.table(3, "extra")
    house.edit("arvo_v1.claim", "p_limit integer DEFAULT 10", "p_limit integer")
    house.edit("arvo_v1.claim", "p_queue text,", "p_queue text DEFAULT 'q',")
    text = house.read("arvo_v1.claim").replace("p_limit integer,", "p_limit integer DEFAULT 5,")
    house.function("arvo_v1.claim", text)
    house.function("arvo.clock", None)
    house.seal("second")
    text = house.read("arvo_v1.claim")
    house.function("arvo_v1.claim", text[: text.index("GRANT")])
    house.seal("third", phase="after")
    return house


@pytest.mark.parametrize("roles", [True, False], ids=["roles", "without-roles"])
def test_a_small_ladder(dsn, schema, small, roles):
    prove_ladder(dsn, schema, small.root, roles=roles)


REAL = pytest.mark.skipif(not SqlTree.find().migrations(), reason="no migrations yet")


@REAL
@pytest.mark.timeout(400)  # every migration, six times over
def test_the_real_ladder(dsn):
    prove_ladder(dsn, "arvo", SqlTree.find().root)


@REAL
@pytest.mark.timeout(400)  # every migration, six times over
@pytest.mark.parametrize("roles", [True, False], ids=["roles", "without-roles"])
def test_the_real_ladder_under_another_name(dsn, schema, roles):
    prove_ladder(dsn, schema, SqlTree.find().root, roles=roles)


@REAL
@pytest.mark.timeout(400)  # every migration, six times over
def test_lock_tokens_grow_down_the_ladder_and_up_again(dsn):
    tokens = []
    for number in (4, 3, 4):
        if number > 3:
            migrate(dsn, to=number, after=True)
        else:
            rollback(dsn, to=number, yes_lose_data=True)
        with psycopg.connect(dsn) as conn:
            lock = conn.execute("SELECT token FROM arvo_v1.acquire_lock(%s)", [f"s{len(tokens)}"])
            tokens += lock.fetchall()
    assert tokens == sorted(set(tokens))
