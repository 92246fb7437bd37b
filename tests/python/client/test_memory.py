"""PostgresMachineMemory: state, locks, lineage, options, and what goes wrong."""

import asyncio
import contextvars
import logging
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from arvo_plpg import (
    ClientTooOld,
    DatabaseUnreachable,
    InvalidArgument,
    InvalidOption,
    LockConfig,
    LockLost,
    MachineMemory,
    MemoryConfig,
    MemoryMetadata,
    SchemaMissing,
    StateRecord,
    VersionConflict,
    connect_postgres_machine_memory,
    release_postgres_machine_memory,
)
from arvo_plpg.errors import UnsupportedVersion
from arvo_plpg.sync import Memory


def about(subject, parent=None):
    return MemoryMetadata(subject, parent, "com.example.client", "arvo.orc.example.flow")


@pytest.fixture
async def memory_on(dsn, road):
    opened = []

    async def connect(place=None, **options):
        if place is None:
            place, more = road
            if place != dsn:  # PgBouncer refuses what is told in the parameter "options"
                more = more | {"statement_timeout_millis": 0}
            options = more | options
        config = MemoryConfig(connection_string=place, **options)
        opened.append(await connect_postgres_machine_memory(version=1, config=config))
        return opened[-1]

    yield connect
    for memory in opened:
        await release_postgres_machine_memory(memory)


@pytest.fixture
async def memory(memory_on):
    return await memory_on(lock_config=LockConfig(max_retries=0), enable_cleanup=True)


# --- state


async def test_what_is_written_is_read_with_its_version(memory):
    assert isinstance(memory, MachineMemory)
    assert await memory.read("flow") is None
    await memory.write("flow", {"a": [1, None, "ä"]}, None, about("flow"))
    first = await memory.read("flow")
    assert (first, first.version) == ({"a": [1, None, "ä"]}, 1)
    await memory.write("flow", {"executionStatus": "normal"}, first, about("flow"))
    second = await memory.read("flow")
    assert (second, second.version) == ({"executionStatus": "normal"}, 2)


async def test_a_write_on_an_old_version_is_a_version_mismatch(memory):
    await memory.write("flow", {"n": 1}, None, about("flow"))
    old = await memory.read("flow")
    await memory.write("flow", {"n": 2}, old, about("flow"))
    for previous in (old, None, StateRecord({}, version=7)):
        with pytest.raises(VersionConflict, match="version mismatch") as caught:
            await memory.write("flow", {"n": 3}, previous, about("flow"))
        assert caught.value.hint == "Read the state again and decide again."
    assert await memory.read("flow") == {"n": 2}


async def test_an_empty_state_is_a_state(memory):
    await memory.write("flow", {}, None, about("flow"))
    empty = await memory.read("flow")
    assert (empty, empty.version) == ({}, 1)
    await memory.write("flow", {"n": 1}, empty, about("flow"))
    assert (await memory.read("flow")).version == 2


async def test_of_many_writers_of_one_version_one_wins(memory):
    await memory.write("flow", {"n": 0}, None, about("flow"))
    state = await memory.read("flow")
    results = await asyncio.gather(
        *[memory.write("flow", {"n": n}, state, about("flow")) for n in range(8)],
        return_exceptions=True,
    )
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, VersionConflict) for result in results) == 7
    assert (await memory.read("flow")).version == 2


@pytest.mark.parametrize("bad", [float("nan"), "a\x00b", "\ud800", object()])
async def test_what_is_not_json_is_refused(memory, bad):
    with pytest.raises(InvalidArgument):
        await memory.write("flow", {"value": bad}, None, about("flow"))
    assert await memory.read("flow") is None


@pytest.mark.parametrize("subject", ["a\x00b", "\ud800"])
async def test_what_is_not_text_is_refused(memory, subject):
    for attempt in (
        memory.read(subject),
        memory.lock(subject),
        memory.write(subject, {}, None, about(subject)),
    ):
        with pytest.raises(InvalidArgument):
            await attempt


async def test_subjects_may_be_long_and_strange(memory):
    for subject in ("x" * 100_000, "x" * 99_999 + "y", "a'; DROP TABLE arvo.state; --", "%s %(a)s"):
        assert await memory.lock(subject)
        await memory.write(subject, {"subject": subject[-1]}, None, about(subject))
        assert await memory.read(subject) == {"subject": subject[-1]}
        assert await memory.unlock(subject)


async def test_cleanup_forgets_if_it_is_enabled(memory, memory_on):
    await memory.write("flow", {}, None, about("flow"))
    keeping = await memory_on()
    await keeping.cleanup("flow")
    assert await memory.read("flow") == {}
    await memory.cleanup("flow")
    assert await memory.read("flow") is None
    await memory.cleanup("flow")
    await memory.write("flow", {"again": True}, None, about("flow"))
    assert (await memory.read("flow")).version == 1


async def test_the_tree_is_right_whatever_comes_first(memory):
    for subject, parent in (("leaf", "child"), ("child", "root"), ("root", None), ("twin", "root")):
        await memory.write(subject, {"executionStatus": "normal"}, None, about(subject, parent))
    assert await memory.get_root_subject("leaf") == "root"
    assert await memory.get_root_subject("root") == "root"
    assert await memory.get_root_subject("stranger") is None
    assert sorted(await memory.get_subjects_by_root("root")) == ["child", "leaf", "twin"]
    assert await memory.get_subjects_by_root("child") == []
    kin = await memory.lineage("twin")
    assert [(k.subject, k.depth) for k in kin if k.subject in {"root", "leaf"}] == [
        ("root", 0), ("leaf", 2),
    ]  # fmt: skip


# --- locks


@pytest.fixture
def elsewhere():
    """Run a step in a context of its own, as another execution in the same process would."""

    async def run(awaitable):
        return await asyncio.create_task(awaitable, context=contextvars.Context())

    return run


async def test_a_lock_is_one_executions(memory, elsewhere):
    assert await memory.lock("flow")
    assert not await elsewhere(memory.lock("flow"))
    assert not await memory.lock("flow"), "not even twice for oneself"
    assert await elsewhere(memory.unlock("flow")), "harmless"
    assert not await elsewhere(memory.lock("flow"))
    assert await memory.unlock("flow")
    assert await elsewhere(memory.lock("flow"))


async def test_a_lapsed_lock_can_be_taken_and_its_old_holder_is_fenced_off(
    memory_on, connection, frozen, ask
):
    memory = await memory_on(lock_config=LockConfig(max_retries=0, ttl_ms=60_000))
    assert await memory.lock("flow")
    frozen(connection, datetime.now(UTC) + timedelta(minutes=2))
    taken = Memory(connection).acquire_lock("flow", timedelta(hours=1))
    assert taken is not None
    with pytest.raises(LockLost, match="lock is not held"):
        await memory.write("flow", {}, None, about("flow"))
    assert await memory.unlock("flow"), "tolerant, and without effect"
    assert ask("SELECT token FROM arvo.state_lock") == [(taken.token,)]
    Memory(connection).write_state("flow", {"by": "new"}, 0, lock=taken.token)
    assert await memory.read("flow") == {"by": "new"}
    assert Memory(connection).release_lock("flow", taken.token)


async def test_a_lock_comes_with_the_state_for_one_read_at_once(memory, connection, ask):
    await memory.write("flow", {"n": 1}, None, about("flow"))
    assert await memory.lock("flow")
    Memory(connection).write_state("flow", {"n": 2}, 1)
    first = await memory.read("flow")
    assert (first, first.version) == ({"n": 1}, 1), "as it was when the lock was taken"
    assert await memory.read("flow") == {"n": 2}, "then as it is"
    with pytest.raises(VersionConflict):
        await memory.write("flow", {"n": 3}, first, about("flow"))
    assert await memory.unlock("flow")
    assert ask("SELECT count(*) FROM arvo.state_lock") == [(0,)]


async def test_what_was_locked_and_written_is_read_as_written(memory):
    assert await memory.lock("flow")
    await memory.write("flow", {"n": 1}, None, about("flow"))
    assert await memory.read("flow") == {"n": 1}, "not as it was when the lock was taken"
    await memory.unlock("flow")
    assert await memory.lock("flow")
    await memory.cleanup("flow")
    assert await memory.read("flow") is None
    assert await memory.unlock("flow")


async def test_a_lock_that_has_no_state_says_so(memory):
    assert await memory.lock("flow")
    assert await memory.read("flow") is None
    await memory.unlock("flow")


async def test_lock_tries_as_often_as_configured(memory_on, elsewhere):
    holder = await memory_on()
    assert await holder.lock("flow")
    impatient = await memory_on(
        lock_config=LockConfig(max_retries=3, initial_delay_ms=10, backoff_exponent=2)
    )
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert not await elsewhere(impatient.lock("flow"))
    assert 0.07 <= loop.time() - started < 5  # 10 + 20 + 40 milliseconds
    patient = await memory_on(lock_config=LockConfig(max_retries=1000, initial_delay_ms=5))
    waiting = asyncio.create_task(patient.lock("flow"))
    await holder.unlock("flow")
    assert await waiting


async def test_no_connection_is_held_while_waiting_for_a_lock(memory_on, elsewhere):
    memory = await memory_on(
        max=1, lock_config=LockConfig(max_retries=1000, initial_delay_ms=5, backoff_exponent=1)
    )
    assert await memory.lock("flow")
    waiting = [asyncio.create_task(memory.lock("flow")) for _ in range(5)]
    for number in range(5):
        state = await memory.read("flow")
        await memory.write("flow", {"number": number}, state, about("flow"))
    assert not any(task.done() for task in waiting)
    assert await memory.unlock("flow")
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(pending)) == (1, 4)
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)


async def test_cleanup_and_a_writer_under_the_lock_do_not_deadlock(connection, dsn, eventually):
    """Both take the lock's row before the state's; see the lock order in sql/README.md."""
    mine = Memory(connection)
    version = mine.write_state("flow", {}, 0)
    lock = mine.acquire_lock("flow")
    forgotten = []

    def forget():
        with psycopg.connect(dsn, autocommit=True, application_name="cleaner") as other:
            forgotten.append(Memory(other).cleanup_state("flow"))

    cleaner = threading.Thread(target=forget)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = %s"
    with connection.transaction():
        assert mine.renew_lock("flow", lock.token)
        cleaner.start()
        with psycopg.connect(dsn, autocommit=True) as watcher:
            assert eventually(lambda: watcher.execute(waiting, ["cleaner", "Lock"]).fetchall())
        assert mine.write_state("flow", {"n": 1}, version, lock=lock.token) == 2
    cleaner.join(20)
    assert forgotten == [True]


async def test_unlock_is_tolerant_when_the_database_is_not(memory_on):
    memory = await memory_on(connection_timeout_millis=200)
    assert await memory.lock("flow")
    await memory.close()
    assert await memory.unlock("flow")


async def test_a_read_survives_a_cut_connection(memory, ask):
    await memory.write("flow", {"n": 1}, None, about("flow"))
    for _ in range(3):
        ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'arvo'"
        )
        assert await memory.read("flow") == {"n": 1}


# --- options


# Every option of the seed's, as the seed writes it: its name here, its default, a value that is
# valid, and values that are not. Durations are milliseconds.
CONFIG = [
    ("connectionString", "connection_string", None, "postgresql://db/app", [7]),
    ("host", "host", "localhost", "db.example", [None, 7]),
    ("port", "port", 5432, 6432, [0, 65_536, "many"]),
    ("user", "user", "postgres", "joe", [None]),
    ("password", "password", "postgres", "secret", [None]),
    ("database", "database", "postgres", "app", [None]),
    ("max", "max", 10, 20, [0, -1, 1.5]),
    ("idleTimeoutMillis", "idle_timeout_millis", 30_000, 1, [0, -1]),
    ("connectionTimeoutMillis", "connection_timeout_millis", 5_000, 1, [0, -1]),
    ("statementTimeoutMillis", "statement_timeout_millis", 30_000, 0, [-1]),
    ("queryTimeoutMillis", "query_timeout_millis", 30_000, 1, [0, -1]),
    ("lockConfig", "lock_config", LockConfig(), LockConfig(ttl_ms=1), [7]),
    ("enableCleanup", "enable_cleanup", False, True, ["perhaps"]),
    ("enableOtel", "enable_otel", False, True, ["perhaps"]),
]
LOCK_CONFIG = [
    ("maxRetries", "max_retries", 3, 0, [-1, 1.5]),
    ("initialDelayMs", "initial_delay_ms", 100, 1, [0]),
    ("backoffExponent", "backoff_exponent", 1.5, 2, [0.5, float("nan")]),
    ("ttlMs", "ttl_ms", 120_000, 1, [0]),
]
OURS = {"prepare_threshold", "schema_name"}
OPTIONS = [(MemoryConfig, *row) for row in CONFIG] + [(LockConfig, *row) for row in LOCK_CONFIG]


def test_every_option_of_the_seed_is_in_the_table():
    assert set(MemoryConfig.model_fields) == {row[1] for row in CONFIG} | OURS
    assert set(LockConfig.model_fields) == {row[1] for row in LOCK_CONFIG}


@pytest.mark.parametrize(
    ("kind", "seeds", "name", "default", "good", "bad"), OPTIONS, ids=[row[1] for row in OPTIONS]
)
def test_an_option_of_the_seed(kind, seeds, name, default, good, bad):
    assert getattr(kind(), name) == default
    assert getattr(kind(**{name: good}), name) == good
    for value in bad:
        with pytest.raises(InvalidOption) as caught:
            kind(**{name: value})
        assert (caught.value.field or "").split(".")[0] == name
    if seeds != name:
        with pytest.raises(InvalidOption):
            kind(**{seeds: good})


def test_the_defaults_are_the_seeds():
    assert conninfo_to_dict(MemoryConfig().dsn()) == {
        "host": "localhost", "port": "5432", "user": "postgres", "password": "postgres",
        "dbname": "postgres",
    }  # fmt: skip
    whole = MemoryConfig(connection_string="dbname=app", host="ignored")
    assert whole.dsn() == "dbname=app"


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(InvalidOption) as caught:
        MemoryConfig(conection_string="x")
    assert caught.value.field == "conection_string"


@pytest.mark.parametrize(
    ("given", "seconds"), [(1, 1), (1000, 1), (1001, 2), (5_000, 5), (60_000, 60)]
)
def test_how_long_a_connection_is_waited_for(given, seconds):
    assert MemoryConfig(connection_timeout_millis=given).connect_seconds() == seconds


async def test_the_pool_has_the_size_and_the_patience_that_is_configured(memory_on):
    memory = await memory_on(
        max=2, idle_timeout_millis=7_000, connection_timeout_millis=300, lock_config=LockConfig()
    )
    assert (memory._pool.max_size, memory._pool.max_idle, memory._pool.timeout) == (2, 7.0, 0.3)
    async with memory._pool.connection(), memory._pool.connection():
        with pytest.raises(DatabaseUnreachable):
            await memory.read("flow")


async def test_an_answer_is_waited_for_as_long_as_configured(memory_on, dsn):
    memory = await memory_on(query_timeout_millis=300)
    await memory.write("flow", {"n": 1}, None, about("flow"))
    state = await memory.read("flow")
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM arvo.state FOR UPDATE")
        with pytest.raises(DatabaseUnreachable, match="no answer within 300 ms"):
            await memory.write("flow", {"n": 2}, state, about("flow"))
    await memory.write("flow", {"n": 3}, state, about("flow"))
    assert await memory.read("flow") == {"n": 3}


async def test_tables_have_no_names_of_their_own(dsn):
    config = MemoryConfig(connection_string=dsn)
    seeds = {name: f"arvopg_mm_{name}" for name in ("state", "lock", "hierarchy")}
    memory = await connect_postgres_machine_memory(config=config, tables=seeds)
    await release_postgres_machine_memory(memory)
    for tables in ({"state": "mine"}, {"stat": "arvopg_mm_state"}):
        with pytest.raises(InvalidOption, match="schema_name") as caught:
            await connect_postgres_machine_memory(config=config, tables=tables)
        assert caught.value.field == "tables"


async def test_by_force_everything_is_installed_anew(empty_dsn):
    config = MemoryConfig(connection_string=empty_dsn, schema_name="forced")
    # Also when nothing is there yet; the seed spells it in two ways.
    for mode in ("dangerously_force_migration", "dangerousely_force_migration"):
        memory = await connect_postgres_machine_memory(config=config, migrate=mode)
        assert await memory.read("flow") is None
        await memory.write("flow", {"n": 1}, None, about("flow"))
        await release_postgres_machine_memory(memory)


ODD = 'it\'s \\ a "pass" word @:/?#%20& ${HOME} é'


@pytest.mark.parametrize("password", [ODD, "", " ", "'", "\\", "a=b"])
def test_a_password_may_hold_any_character(password):
    config = MemoryConfig(host="db.example", password=password, database="my db")
    assert conninfo_to_dict(config.dsn())["password"] == password
    assert conninfo_to_dict(config.dsn())["dbname"] == "my db"


async def test_a_role_with_an_odd_password_gets_in(dsn, ask):
    facts = conninfo_to_dict(dsn)
    role = "odd \"role'"
    ask_for = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}")
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(ask_for.format(sql.Identifier(role), sql.Literal(ODD)))
        try:
            config = MemoryConfig(
                host=facts["host"], port=facts.get("port") or 5432, user=role, password=ODD,
                database=facts["dbname"],
            )  # fmt: skip
            memory = await connect_postgres_machine_memory(config=config)
            await memory.write("flow", {}, None, about("flow"))
            await release_postgres_machine_memory(memory)
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_no_password_is_shown(caplog):
    secret = "tell-nobody"
    configs = [
        MemoryConfig(password=secret),
        MemoryConfig(connection_string=f"postgresql://joe:{secret}@db/app"),
    ]
    assert not any(secret in repr(config) + str(config) for config in configs)
    with pytest.raises(InvalidOption) as caught:
        MemoryConfig(passwort=secret)
    assert secret not in str(caught.value) + str(caught.value.__cause__)


@pytest.mark.parametrize(
    "place", ["postgresql://joe:tell-nobody@127.0.0.1:1/app", "postgresql://joe:tell-nobody@x:y/z"]
)
async def test_no_password_is_told_when_nobody_answers(place, caplog):
    caplog.set_level(logging.DEBUG)
    config = MemoryConfig(connection_string=place)
    for migrate in ("noop", "create_if_not_exists"):
        with pytest.raises((DatabaseUnreachable, InvalidOption)) as caught:
            await connect_postgres_machine_memory(config=config, migrate=migrate)
        assert "tell-nobody" not in f"{caught.value} {caught.value.__cause__!r} {caplog.text}"


async def test_statements_have_the_time_that_is_configured(memory_on, dsn):
    memory = await memory_on(
        psycopg.conninfo.make_conninfo(dsn, options="-c work_mem=3MB"),
        statement_timeout_millis=1234,
    )
    async with memory._pool.connection() as connection:
        for setting, value in (("statement_timeout", "1234ms"), ("work_mem", "3MB")):
            cursor = await connection.execute("SELECT current_setting(%s)", [setting])
            assert await cursor.fetchone() == (value,)


async def test_statements_have_the_time_of_the_role_when_none_is_configured(memory_on, dsn):
    memory = await memory_on(dsn, statement_timeout_millis=0, prepare_threshold=None)
    async with memory._pool.connection() as connection:
        assert connection.prepare_threshold is None
        cursor = await connection.execute(
            "SELECT reset_val, source FROM pg_settings WHERE name = 'statement_timeout'"
        )
        assert await cursor.fetchone() == ("0", "default")


@pytest.mark.parametrize("mode", ["create_if_not_exists", "if_tables_dont_exist"])
async def test_a_database_can_be_migrated_on_the_way(empty_dsn, mode):
    config = MemoryConfig(connection_string=empty_dsn)
    with pytest.raises(SchemaMissing, match="migrate"):
        await connect_postgres_machine_memory(config=config)
    for _ in range(2):
        memory = await connect_postgres_machine_memory(config=config, migrate=mode)
        await memory.validate_table_structure()
        await release_postgres_machine_memory(memory)


async def test_versions_and_modes_that_do_not_exist_are_refused(dsn, ask):
    config = MemoryConfig(connection_string=dsn)
    with pytest.raises(
        UnsupportedVersion, match="Unsupported PostgreSQL machine memory version: 2"
    ):
        await connect_postgres_machine_memory(version=2, config=config)
    with pytest.raises(InvalidOption, match="migrate is 'always'"):
        await connect_postgres_machine_memory(config=config, migrate="always")
    ask("INSERT INTO arvo.revision VALUES (9999, '9999.after.future', 9999) RETURNING 1")
    with pytest.raises(ClientTooOld):
        await connect_postgres_machine_memory(config=config)


async def test_a_handler_of_the_demonstration_runs_without_a_worker(memory):
    """The same handler that a worker runs keeps its state here by itself."""
    from arvo_plpg import create_arvo_event_factory
    from arvo_plpg.demo.average import AVERAGE_CONTRACT, create_average_workflow
    from arvo_plpg.demo.calculator import create_add_handler, create_product_handler

    workflow = create_average_workflow(memory)
    handlers = {h.source: h for h in (workflow, create_add_handler(), create_product_handler())}
    factory = create_arvo_event_factory(AVERAGE_CONTRACT.version("1.0.0"))
    start = factory.init(
        source="com.example.client", data={"parentSubject$$": None, "numbers": [4, 8]}
    )
    queue, done = [start], []
    while queue:
        event = queue.pop()
        if event.to in handlers:
            queue += await handlers[event.to].execute(event)
        else:
            done.append(event)
    assert [event.data["average"] for event in done] == [6]
    assert await memory.read(start.subject) is None, "cleaned up"
    assert await memory.lock(start.subject), "unlocked"


async def test_operations_are_spans_if_that_is_wished(memory_on, monkeypatch):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from arvo_plpg.runtime import memory_span

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(memory_span, "_TRACER", provider.get_tracer("test"))
    silent = await memory_on()
    await silent.read("flow")
    assert exporter.get_finished_spans() == ()
    memory = await memory_on(enable_otel=True)
    await memory.lock("flow")
    await memory.write("flow", {}, None, about("flow"))
    await memory.read("flow")
    with pytest.raises(VersionConflict):
        await memory.write("flow", {}, None, about("flow"))
    await memory.unlock("flow")
    await memory.cleanup("flow")
    await memory.get_root_subject("flow")
    await memory.get_subjects_by_root("flow")
    spans = exporter.get_finished_spans()
    assert [span.name.removeprefix("PostgresMachineMemory.v1.") for span in spans] == [
        "lock", "write", "read", "write", "unlock", "cleanup", "getRootSubject",
        "getSubjectsByRoot",
    ]  # fmt: skip
    assert all(span.attributes["subject"] == "flow" for span in spans)
    lock, write, read, conflict, _, cleanup, root, by_root = (span.attributes for span in spans)
    assert (lock["acquired"], lock["attempts"]) == (True, 1)
    assert (write["isNew"], write["version"]) == (True, 1)
    assert (read["available"], read["version"]) == (True, 1)
    assert "version" not in conflict
    assert not spans[3].status.is_ok
    assert (cleanup["skipped"], root["found"], root["isRoot"], by_root["count"]) == (
        True, True, True, 0,
    )  # fmt: skip
