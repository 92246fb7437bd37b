"""docs/for-dbas.md says what the catalogue says: no table, function or topic more or fewer."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "for-dbas.md").read_text(encoding="utf-8")


def section(title):
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_table_has_its_row_and_no_other(connection):
    rows = re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", section("Tables"), flags=re.MULTILINE)
    tables = connection.execute(
        """SELECT relname FROM pg_class
           WHERE relnamespace = 'arvo'::regnamespace AND relkind IN ('r', 'p')
           AND NOT relispartition AND relname !~ '^(_yoyo_|yoyo_)'"""
    ).fetchall()
    assert sorted(rows) == sorted(name for (name,) in tables)


@pytest.mark.parametrize("role", ["client", "worker", "operator", "monitor"])
def test_each_role_has_the_functions_that_are_said(connection, role):
    (listed,) = re.findall(rf"^\| `arvo_{role}` \| (.+) \|$", TEXT, flags=re.MULTILINE)
    functions = connection.execute(
        """SELECT proname FROM pg_proc WHERE pronamespace = 'arvo_v1'::regnamespace
           AND has_function_privilege(%s, oid, 'EXECUTE')""",
        [f"arvo_{role}"],
    ).fetchall()
    assert re.findall(r"`(\w+)`", listed) == sorted(name for (name,) in functions)


def test_every_topic_of_health_is_named(connection):
    said = re.findall(r"`(\w+)`", section("What to watch").split("remedy:")[1].split(".")[0])
    answered = connection.execute("SELECT topic FROM arvo_v1.health()").fetchall()
    assert set(said) == {topic for (topic,) in answered}


def test_functions_and_partitions_that_are_named_are_there(connection):
    known = {
        name
        for (name,) in connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^arvo'"
        )
    }
    assert set(re.findall(r"`(?:SELECT \* FROM )?(?:arvo(?:_v1)?\.)?(\w+)\(\)`", TEXT)) <= known
    partitions = connection.execute(
        """SELECT inhparent::regclass::text, count(*) FROM pg_inherits
           JOIN pg_class ON pg_class.oid = inhparent AND relkind = 'p' GROUP BY 1"""
    ).fetchall()
    assert dict(partitions) == {
        "arvo.log": 4,
        "arvo.lease": 4,
        "arvo.closure": 4,
    }


def test_the_grants_and_the_removal_run_as_they_stand(connection):
    grants, removal = re.findall(r"```sql\n(.*?)```", TEXT, flags=re.DOTALL)
    roles = set(re.findall(r"'\S+', '(\w+)', '\{", grants)) - {"public"}
    assert len(roles) == 4
    with connection.transaction(force_rollback=True):
        for role in roles:
            connection.execute(f"CREATE ROLE {role} NOLOGIN")
        connection.execute(grants)
        rows = connection.execute("SELECT queue, may, roles FROM arvo_v1.queue_grants()").fetchall()
        assert rows == [
            ("*", "read", ["support"]),
            ("billing.*", "consume", ["billing_workers"]),
            ("billing.*", "operate", ["billing_ops"]),
        ]
    connection.execute(removal)
    left = connection.execute(
        """SELECT nspname FROM pg_namespace WHERE nspname ~ '^arvo'
           UNION ALL SELECT relname FROM pg_class
           WHERE relowner = 'arvo_owner'::regrole
           UNION ALL SELECT proname FROM pg_proc WHERE proowner = 'arvo_owner'::regrole"""
    ).fetchall()
    assert left == []
