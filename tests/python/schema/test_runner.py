"""Runs of the migration runner on a real server, with real processes where it matters."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from arvo_plpg import errors
from arvo_plpg.schema import doctor, migrate, plan_migrate, plan_rollback, rollback
from arvo_plpg.schema.backend import Place
from arvo_plpg.schema.lock import lock_key, run_lock
from arvo_plpg.schema.names import Names
from arvo_plpg.schema.target import Target


def fetch(dsn, query, *parameters):
    with psycopg.connect(dsn) as conn:
        return conn.execute(query, parameters or None).fetchall()


def execute(dsn, *statements):
    with psycopg.connect(dsn, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement)


def revisions(dsn, schema):
    return [n for (n,) in fetch(dsn, f"SELECT number FROM {schema}.revision ORDER BY number")]


def process(code, *arguments):
    """Start a Python process that migrates; returns it with its output piped."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    folder = Path(str(arguments[-1])).parent  # what a killed run leaves goes with the test's own
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


MIGRATE = """
    import sys
    from pathlib import Path
    from arvo_plpg.schema import migrate
    dsn, schema, root = sys.argv[1:4]
    print(len(migrate(dsn, schema=schema, sql_root=Path(root))))
"""


def test_migrates_once_and_then_has_nothing_to_do(dsn, schema, house, capsys):
    house.table(2, "extra", extra="SELECT 'never printed';\n")
    assert migrate(dsn, schema=schema, sql_root=house.root) == [
        "0001.before.ground",
        "0002.before.extra",
    ]
    assert migrate(dsn, schema=schema, sql_root=house.root) == []
    assert revisions(dsn, schema) == [1, 2]
    assert capsys.readouterr().out == ""


def test_everything_belongs_to_the_owner_and_nothing_lies_in_public(dsn, schema, house):
    house.seal()
    migrate(dsn, schema=schema, sql_root=house.root)
    owners = fetch(
        dsn,
        """SELECT DISTINCT nspname, pg_get_userbyid(relowner) FROM pg_class
             JOIN pg_namespace AS n ON n.oid = relnamespace
            WHERE nspname !~ '^(pg_|information_schema)' UNION
           SELECT nspname, pg_get_userbyid(proowner) FROM pg_proc
             JOIN pg_namespace AS n ON n.oid = pronamespace
            WHERE nspname !~ '^(pg_|information_schema)' ORDER BY 1""",
    )
    assert owners == [(schema, f"{schema}_owner"), (f"{schema}_v1", f"{schema}_owner")]


def test_only_before_by_default_and_all_on_demand(dsn, schema, house):
    house.table(2, "late", phase="after")
    house.table(3, "soon")
    assert migrate(dsn, schema=schema, sql_root=house.root) == [
        "0001.before.ground",
        "0003.before.soon",
    ]
    assert migrate(dsn, schema=schema, sql_root=house.root, after=True) == ["0002.after.late"]


def test_up_to_a_number_and_back_to_a_number(dsn, schema, house):
    house.table(2, "two")
    house.table(3, "three")
    assert migrate(dsn, schema=schema, sql_root=house.root, to=2)[-1] == "0002.before.two"
    assert migrate(dsn, schema=schema, sql_root=house.root) == ["0003.before.three"]
    undone = rollback(dsn, schema=schema, sql_root=house.root, to=1)
    assert undone == ["0003.before.three", "0002.before.two"]
    assert revisions(dsn, schema) == [1]


@pytest.mark.parametrize("to", [4, 99])
def test_a_number_that_does_not_exist_is_refused(dsn, schema, house, to):
    with pytest.raises(errors.SqlTreeBroken, match="no such migration"):
        migrate(dsn, schema=schema, sql_root=house.root, to=to)
    migrate(dsn, schema=schema, sql_root=house.root)
    with pytest.raises(errors.SqlTreeBroken, match="no such migration"):
        rollback(dsn, schema=schema, sql_root=house.root, to=to)


def test_losing_data_must_be_agreed_to(dsn, schema, house):
    migrate(dsn, schema=schema, sql_root=house.root)
    with pytest.raises(errors.DataLossRefused, match=r"ground loses every queue[\s\S]*--yes-lose"):
        rollback(dsn, schema=schema, sql_root=house.root, to=0)
    assert revisions(dsn, schema) == [1]
    undone = rollback(dsn, schema=schema, sql_root=house.root, to=0, yes_lose_data=True)
    assert undone == ["0001.before.ground"]
    left = "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'"
    tables = {name for (name,) in fetch(dsn, left, schema)}
    assert tables == {"_yoyo_log", "_yoyo_migration", "_yoyo_version", "yoyo_lock"}
    assert migrate(dsn, schema=schema, sql_root=house.root) == ["0001.before.ground"]


def test_an_after_step_with_a_later_text_of_its_function_is_not_passed_over(dsn, schema, house):
    house.seal("first")
    house.edit("arvo.clock", "The server's", "Our server's")
    house.seal("second", phase="after")
    house.edit("arvo.clock", "Our server's", "Your server's")
    house.seal("third")
    with pytest.raises(errors.MigrationOrder, match=r"0003\.after\.second[\s\S]*arvo\.clock"):
        migrate(dsn, schema=schema, sql_root=house.root)
    assert len(migrate(dsn, schema=schema, sql_root=house.root, after=True)) == 4
    assert doctor(dsn, schema=schema, sql_root=house.root).healthy


def test_a_failing_migration_leaves_nothing_and_names_itself(dsn, schema, house):
    house.table(2, "good")
    house.table(3, "bad", extra="SELECT 1 / 0;\n")
    with pytest.raises(
        errors.MigrationFailed, match=r"0003\.before\.bad: division[\s\S]*22012[\s\S]*0002"
    ):
        migrate(dsn, schema=schema, sql_root=house.root)
    assert revisions(dsn, schema) == [1, 2]
    assert fetch(dsn, "SELECT to_regclass(%s)", f"{schema}.bad") == [(None,)]


def test_a_busy_table_is_given_up_when_the_time_is_over(dsn, schema, house, monkeypatch):
    migrate(dsn, schema=schema, sql_root=house.root)
    house.table(2, "wide", extra="ALTER TABLE arvo.queue ADD COLUMN wide integer;\n")
    monkeypatch.setattr("arvo_plpg.schema.backend.LOCK_TIMEOUT", "50ms")
    with psycopg.connect(dsn) as busy:
        busy.execute(f"SELECT * FROM {schema}.queue")
        with pytest.raises(errors.MigrationFailed, match=r"55P03[\s\S]*in use"):
            migrate(dsn, schema=schema, sql_root=house.root, wait=0.2)
    assert migrate(dsn, schema=schema, sql_root=house.root) == ["0002.before.wide"]


def test_a_broken_seal_stops_the_run_before_anything_is_touched(dsn, schema, house):
    import seal

    seal.record(house.tree)
    path = house.migrations / "0001.before.ground.sql"
    path.write_text(path.read_text() + "-- harmless?\n")
    with pytest.raises(errors.SealBroken, match=r"0001\.before\.ground\.sql: its text was changed"):
        migrate(dsn, schema=schema, sql_root=house.root)
    assert fetch(dsn, "SELECT to_regnamespace(%s)", schema) == [(None,)]


def test_no_migrations_is_an_error_not_a_success(dsn, schema, house):
    for path in house.migrations.iterdir():
        path.unlink()
    with pytest.raises(errors.SqlTreeBroken, match="there are no migrations"):
        migrate(dsn, schema=schema, sql_root=house.root)
    with pytest.raises(errors.SqlTreeBroken, match="no SQL files found"):
        migrate(dsn, schema=schema, sql_root=house.root / "nowhere")


def test_a_dependency_that_does_not_exist_is_found_before_anything_runs(dsn, schema, house):
    house.table(2, "extra")
    path = house.migrations / "0002.before.extra.sql"
    path.write_text(path.read_text().replace("0001.before.ground\n", "0001.before.other\n", 1))
    with pytest.raises(errors.SqlTreeBroken, match=r"cannot read[\s\S]*0002\.before\.extra"):
        migrate(dsn, schema=schema, sql_root=house.root)
    assert fetch(dsn, "SELECT to_regclass(%s)", f"{schema}.revision") == [(None,)]


def test_a_database_of_a_newer_version_is_left_alone(dsn, schema, house):
    house.table(2, "newer")
    migrate(dsn, schema=schema, sql_root=house.root)
    for path in house.migrations.glob("0002*"):
        path.unlink()
    match = r"at revision 2; this package knows up to 1[\s\S]*Upgrade the package"
    for call in (
        lambda: migrate(dsn, schema=schema, sql_root=house.root),
        lambda: rollback(dsn, schema=schema, sql_root=house.root, to=0, yes_lose_data=True),
        lambda: doctor(dsn, schema=schema, sql_root=house.root),
    ):
        with pytest.raises(errors.ClientTooOld, match=match):
            call()
    assert revisions(dsn, schema) == [1, 2]


def test_rolling_back_what_is_not_there(dsn, schema, house):
    with pytest.raises(errors.SchemaMissing, match="nothing is installed"):
        rollback(dsn, schema=schema, sql_root=house.root, to=0)


# roles and names


def test_two_names_live_side_by_side(dsn, schema, house, server):
    house.seal()
    other = f"{schema}x"
    try:
        for name in (schema, other):
            migrate(dsn, schema=name, sql_root=house.root)
        for name in (schema, other):
            assert doctor(dsn, schema=name, sql_root=house.root).findings == []
            execute(dsn, f"INSERT INTO {name}.queue VALUES ('q')")
            assert fetch(dsn, f"SELECT {name}_v1.claim('q')") == [(1,)]
        rollback(dsn, schema=other, sql_root=house.root, to=0, yes_lose_data=True)
        assert doctor(dsn, schema=schema, sql_root=house.root).findings == []
    finally:
        execute(dsn, f"DROP OWNED BY {other}_owner CASCADE")
        for role in ("owner", "client", "worker", "operator", "monitor"):
            execute(server, f"DROP ROLE IF EXISTS {other}_{role}")


def test_without_roles_everything_is_the_users_and_stays_so(dsn, schema, house):
    house.seal()
    execute(
        dsn,
        f"CREATE ROLE {schema}_joe LOGIN",
        f"GRANT CREATE ON DATABASE {db(dsn)} TO {schema}_joe",
    )
    joe = make_conninfo(dsn, user=f"{schema}_joe")
    migrate(joe, schema=schema, roles=False, sql_root=house.root)
    assert fetch(dsn, "SELECT to_regrole(%s)", f"{schema}_owner") == [(None,)]
    house.table(3, "more")
    assert migrate(joe, schema=schema, sql_root=house.root) == ["0003.before.more"]
    report = doctor(joe, schema=schema, sql_root=house.root)
    assert (report.findings, report.roles) == ([], False)


def db(dsn):
    return psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]


def test_without_roles_on_an_installation_with_roles_is_refused(dsn, schema, house):
    migrate(dsn, schema=schema, sql_root=house.root)
    with pytest.raises(errors.SchemaOccupied, match="installed with roles"):
        migrate(dsn, schema=schema, roles=False, sql_root=house.root)


def test_a_schema_of_somebody_else_is_refused(dsn, schema, house):
    execute(dsn, f"CREATE SCHEMA {schema}")
    with pytest.raises(errors.SchemaOccupied, match="is not ours"):
        migrate(dsn, schema=schema, sql_root=house.root)


@pytest.mark.parametrize("name", ["Bad", "pg_x", "a;b", "x" * 41])
def test_a_bad_name_is_refused_before_connecting(house, name):
    for call in (migrate, doctor):
        with pytest.raises(errors.InvalidSchemaName):
            call("postgresql://nowhere.invalid/x", schema=name, sql_root=house.root)


def test_a_user_without_privileges_is_told_what_a_dba_must_run(dsn, schema, house):
    execute(dsn, f"CREATE ROLE {schema}_joe LOGIN")
    joe = make_conninfo(dsn, user=f"{schema}_joe")
    with pytest.raises(errors.PrivilegeMissing, match="--without-roles") as caught:
        migrate(joe, schema=schema, sql_root=house.root)
    hint = caught.value.hint
    statements = [line.strip() for line in hint.splitlines() if line.strip().endswith(";")]
    assert len(statements) == 7
    execute(dsn, *statements)
    assert migrate(joe, schema=schema, sql_root=house.root) == ["0001.before.ground"]


def test_a_user_without_privileges_and_without_roles_is_told_too(dsn, schema, house):
    execute(dsn, f"CREATE ROLE {schema}_joe LOGIN")
    joe = make_conninfo(dsn, user=f"{schema}_joe")
    with pytest.raises(errors.PrivilegeMissing, match="GRANT CREATE ON DATABASE") as caught:
        migrate(joe, schema=schema, roles=False, sql_root=house.root)
    assert "--without-roles" not in str(caught.value)


def test_a_role_maker_who_owns_the_database_needs_no_superuser(dsn, schema, house):
    execute(dsn, f"CREATE ROLE {schema}_joe LOGIN CREATEROLE",
            f"ALTER DATABASE {db(dsn)} OWNER TO {schema}_joe")  # fmt: skip
    house.seal()
    joe = make_conninfo(dsn, user=f"{schema}_joe")
    assert len(migrate(joe, schema=schema, sql_root=house.root)) == 2
    assert doctor(joe, schema=schema, sql_root=house.root).findings == []
    execute(dsn, f"ALTER DATABASE {db(dsn)} OWNER TO postgres")


@pytest.fixture
def copy(server, dsn, schema, house):
    """A copy of a migrated database, rolled back to 0: what was granted on it is not copied."""
    migrate(dsn, schema=schema, sql_root=house.root)
    name = f"{db(dsn)}_copy"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {db(dsn)}")
    made = make_conninfo(server, dbname=name)
    rollback(made, schema=schema, sql_root=house.root, to=0, yes_lose_data=True)
    may = f"SELECT has_database_privilege('{schema}_owner', current_database(), 'CREATE')"
    assert fetch(made, may) == [(False,)]
    yield made
    execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_copy_of_a_database_can_go_back_to_0_and_forth(copy, schema, house):
    plan = plan_migrate(copy, schema=schema, sql_root=house.root)
    assert f"CREATE ON DATABASE %I TO %I', current_database(), '{schema}_owner'" in plan.script
    assert migrate(copy, schema=schema, sql_root=house.root) == ["0001.before.ground"]
    assert doctor(copy, schema=schema, sql_root=house.root).findings == []


def test_whoever_may_not_grant_on_a_copy_is_told_what_a_dba_must_run(copy, schema, house):
    execute(copy, f"CREATE ROLE {schema}_joe LOGIN", f"GRANT {schema}_owner TO {schema}_joe")
    joe = make_conninfo(copy, user=f"{schema}_joe")
    with pytest.raises(errors.PrivilegeMissing) as caught:
        migrate(joe, schema=schema, sql_root=house.root)
    statements = [x.strip() for x in caught.value.hint.splitlines() if x.strip().endswith(";")]
    assert statements == [f'GRANT CREATE ON DATABASE "{db(copy)}" TO "{schema}_owner";']
    execute(copy, *statements)
    assert migrate(joe, schema=schema, sql_root=house.root) == ["0001.before.ground"]


def test_a_user_who_may_not_read_the_ledger_is_told(dsn, schema, house):
    migrate(dsn, schema=schema, sql_root=house.root)
    execute(dsn, f"CREATE ROLE {schema}_joe LOGIN")
    joe = make_conninfo(dsn, user=f"{schema}_joe")
    for call in (migrate, doctor):
        with pytest.raises(errors.PrivilegeMissing, match=f"GRANT {schema}_owner TO {schema}_joe"):
            call(joe, schema=schema, sql_root=house.root)


# unreachable


def test_a_server_that_is_not_there(schema, house, tmp_path):
    dsn = f"postgresql://joe:s3cret@/x?host={tmp_path}"
    with pytest.raises(errors.DatabaseUnreachable, match="cannot connect") as caught:
        migrate(dsn, schema=schema, sql_root=house.root)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_server_that_never_answers(schema, house, monkeypatch):
    monkeypatch.setattr("arvo_plpg.schema.target.CONNECT_TIMEOUT", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://joe:s3cret@127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(errors.DatabaseUnreachable, match="timeout") as caught:
            migrate(dsn, schema=schema, sql_root=house.root)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres//joe:s3cret@host/x",
        "postgresql://joe:s3cret@host:port/x",
        "mysql://joe:s3cret@host/x",
        "password=s3cret hots=x",
        "postgresql://joe:s3%zzcret@host/x",
        "postgresql://joe:s3cret@host/x?s3cret=1",
    ],
)
def test_no_password_of_an_unreadable_dsn_is_repeated(schema, house, dsn):
    with pytest.raises(errors.DatabaseUnreachable) as caught:
        migrate(dsn, schema=schema, sql_root=house.root)
    assert "s3" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_target_does_not_show_its_password():
    target = Target.parse("postgresql://joe:s3cret@host/x")
    assert "s3cret" not in repr(Place(target, Names()))
    assert target.scrub("it was s3cret") == "it was ***"


def test_a_driver_in_the_dsn_is_understood(dsn, schema, house):
    given = psycopg.conninfo.conninfo_to_dict(dsn)
    uri = f"postgresql+psycopg://{given['user']}@/{given['dbname']}?host={given['host']}"
    if "port" not in given:
        assert migrate(uri, schema=schema, sql_root=house.root) == ["0001.before.ground"]


# plans


def test_a_plan_changes_nothing_and_its_script_does_the_work(dsn, schema, house):
    house.seal()
    plan = plan_migrate(dsn, schema=schema, sql_root=house.root)
    assert plan.ids == ["0001.before.ground", "0002.before.functions"]
    assert fetch(dsn, "SELECT to_regnamespace(%s)", schema) == [(None,)]
    execute(dsn, plan.script.encode())
    assert revisions(dsn, schema) == [1, 2]
    assert migrate(dsn, schema=schema, sql_root=house.root) == []
    assert doctor(dsn, schema=schema, sql_root=house.root).findings == []
    undo = plan_rollback(dsn, to=0, schema=schema, sql_root=house.root)
    assert undo.ids == ["0002.before.functions", "0001.before.ground"]
    execute(dsn, undo.script.encode())
    assert migrate(dsn, schema=schema, sql_root=house.root) == plan.ids


# many at once, and killed


def test_twenty_processes_on_an_empty_database_all_succeed(dsn, schema, house):
    house.seal()
    runs = [process(MIGRATE, dsn, schema, house.root) for _ in range(20)]
    results = [(*run.communicate(timeout=100), run.returncode) for run in runs]
    assert [r for r in results if r[2] or r[1]] == []
    assert sorted(int(out) for out, _, _ in results) == [0] * 19 + [2]
    assert doctor(dsn, schema=schema, sql_root=house.root).findings == []


def test_threads_under_different_names_do_not_mix(dsn, schema, house, server):
    house.table(2, "extra")
    names = [f"{schema}_{letter}" for letter in "abcdefgh"]
    failures = []

    def run(name):
        try:
            assert len(migrate(dsn, schema=name, sql_root=house.root)) == 2
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert [revisions(dsn, name) for name in names] == [[1, 2]] * len(names)


def waits_for_advisory_lock(dsn):
    return fetch(
        dsn,
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
        " AND query LIKE '%pg_advisory_xact_lock(4711)%' AND pid <> pg_backend_pid()"
        " AND datname = current_database()",
    ) != [(0,)]


def test_killed_in_the_middle_of_a_migration_and_run_again(dsn, schema, house, until):
    house.table(2, "slow", extra="SELECT pg_advisory_xact_lock(4711);\n")
    with psycopg.connect(dsn, autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(4711)")
        run = process(MIGRATE, dsn, schema, house.root)
        until(lambda: waits_for_advisory_lock(dsn), "the migration is in the middle")
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=30)
        gate.execute("SELECT pg_advisory_unlock(4711)")
    assert fetch(dsn, f"SELECT count(*) FROM {schema}.yoyo_lock") == [(1,)]
    assert migrate(dsn, schema=schema, sql_root=house.root) == ["0002.before.slow"]
    assert fetch(dsn, f"SELECT count(*) FROM {schema}.yoyo_lock") == [(0,)]


def test_the_next_run_waits_for_a_dead_runs_statement(dsn, schema, house):
    """The guard's lock is free, but the transaction of the killed run still works."""
    migrate(dsn, schema=schema, sql_root=house.root)
    with psycopg.connect(dsn) as orphan:
        orphan.execute("SELECT pg_advisory_xact_lock_shared(%s)", (lock_key(schema, "step"),))
        with pytest.raises(errors.MigrationLocked, match=f"held by pid {orphan.info.backend_pid}"):
            migrate(dsn, schema=schema, sql_root=house.root, wait=0.2)
    assert migrate(dsn, schema=schema, sql_root=house.root) == []


@pytest.mark.parametrize("step", ["mark_one", "log_migration"])
def test_killed_between_a_migration_and_its_mark_and_run_again(dsn, schema, house, step):
    house.table(2, "extra")
    code = MIGRATE.replace(
        "dsn, schema",
        "import os; from arvo_plpg.schema.backend import ArvoBackend\n    "
        f"ArvoBackend.{step} = lambda *a, **k: os.kill(os.getpid(), 9)\n    dsn, schema",
        1,
    )
    run = process(code, dsn, schema, house.root)
    run.communicate(timeout=60)
    assert run.returncode == -signal.SIGKILL
    assert revisions(dsn, schema) == [1]
    assert fetch(dsn, f"SELECT count(*) FROM {schema}._yoyo_migration") == [(0,)]
    assert migrate(dsn, schema=schema, sql_root=house.root) == ["0002.before.extra"]
    assert doctor(dsn, schema=schema, sql_root=house.root).findings == []


def test_killed_between_an_undo_and_its_unmark_and_run_again(dsn, schema, house):
    house.table(2, "extra")
    migrate(dsn, schema=schema, sql_root=house.root)
    code = """
        import os, sys
        from pathlib import Path
        from arvo_plpg.schema import rollback
        from arvo_plpg.schema.backend import ArvoBackend
        ArvoBackend.unmark_one = lambda *a, **k: os.kill(os.getpid(), 9)
        dsn, schema, root = sys.argv[1:4]
        rollback(dsn, schema=schema, sql_root=Path(root), to=1)
    """
    run = process(code, dsn, schema, house.root)
    run.communicate(timeout=60)
    assert run.returncode == -signal.SIGKILL
    assert [f.kind for f in doctor(dsn, schema=schema, sql_root=house.root).findings] == ["ledger"]
    assert migrate(dsn, schema=schema, sql_root=house.root) == ["0002.before.extra"]
    assert doctor(dsn, schema=schema, sql_root=house.root).findings == []


def test_a_run_that_waits_too_long_says_for_whom(dsn, schema, house):
    name = "the other one"
    with (
        psycopg.connect(dsn, autocommit=True, application_name=name) as other,
        run_lock(other, schema),
    ):
        match = rf"waited 0.2 s; held by pid {other.info.backend_pid}[\s\S]*{name}"
        with pytest.raises(errors.MigrationLocked, match=match):
            migrate(dsn, schema=schema, sql_root=house.root, wait=0.2)
    assert len(migrate(dsn, schema=schema, sql_root=house.root, wait=0.2)) == 1


def test_a_concurrent_index_builds_while_others_wait(dsn, schema, house):
    """A waiting run must hold no snapshot, or CREATE INDEX CONCURRENTLY waits for it."""
    migrate(dsn, schema=schema, sql_root=house.root)
    house.migration(
        "0002.before.index",
        "-- depends: 0001.before.ground\n-- transactional: false\n"
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS queue_x_idx ON arvo.queue (name);\n"
        "INSERT INTO arvo.revision (number, name, oldest_client) VALUES (2, 'i', 0);\n",
        "DROP INDEX arvo.queue_x_idx;\nDELETE FROM arvo.revision WHERE number = 2;\n",
    )
    runs = [process(MIGRATE, dsn, schema, house.root) for _ in range(4)]
    results = [(*run.communicate(timeout=60), run.returncode) for run in runs]
    assert [r for r in results if r[2] or r[1]] == []
    assert revisions(dsn, schema) == [1, 2]


def test_first_runs_on_several_databases_of_one_server_at_once(dsn, schema, house, server):
    """Roles belong to the server: the locks of two databases do not know each other."""
    databases = [f"{schema}_{letter}" for letter in "abcdef"]
    execute(server, *(f"CREATE DATABASE {name}" for name in databases))
    try:
        dsns = [make_conninfo(server, dbname=name) for name in databases]
        runs = [process(MIGRATE, each, schema, house.root) for each in dsns]
        results = [(*run.communicate(timeout=60), run.returncode) for run in runs]
        assert results == [("1\n", "", 0)] * len(databases)
    finally:
        execute(server, *(f"DROP DATABASE {name} WITH (FORCE)" for name in databases))


def test_a_run_that_has_lost_its_lock_does_not_go_on(dsn, schema, house, monkeypatch):
    from arvo_plpg.schema.backend import ArvoBackend

    house.table(2, "extra")
    apply_one = ArvoBackend.apply_one

    def lose_the_guard(backend, migration):
        apply_one(backend, migration)
        execute(
            dsn,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name LIKE '%(guard)' AND datname = current_database()",
        )

    monkeypatch.setattr(ArvoBackend, "apply_one", lose_the_guard)
    with pytest.raises(errors.DatabaseUnreachable, match="the connection broke"):
        migrate(dsn, schema=schema, sql_root=house.root)
    monkeypatch.undo()
    assert migrate(dsn, schema=schema, sql_root=house.root) == ["0002.before.extra"]
