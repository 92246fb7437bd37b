"""import_v1: the TypeScript package's three tables, as that package makes and fills them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from arvo_plpg import ArvoEvent, InvalidArgument, SchemaMissing
from arvo_plpg.cli import main
from arvo_plpg.demo.workflows import create_demo_handlers
from arvo_plpg.import_v1 import import_v1
from arvo_plpg.schema.seed_tables import SeedTables
from arvo_plpg.sync import Memory

SAMPLES = Path(__file__).parent.parent / "samples"
# The statements of @arvo-tools/postgres, version 1 of its memory.
DDL = """
CREATE TABLE IF NOT EXISTS {state} (
    subject VARCHAR(255) PRIMARY KEY,
    data JSONB NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    execution_status VARCHAR(255) NOT NULL,
    parent_subject VARCHAR(255),
    initiator VARCHAR(255),
    source VARCHAR(255) NOT NULL,
    created_at TIMESTAMP DEFAULT NOW(),
    updated_at TIMESTAMP DEFAULT NOW()
);
CREATE TABLE IF NOT EXISTS {lock} (
    subject VARCHAR(255) PRIMARY KEY,
    locked_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    created_at TIMESTAMP DEFAULT NOW()
);
CREATE TABLE IF NOT EXISTS {hierarchy} (
    subject VARCHAR(255) PRIMARY KEY,
    parent_subject VARCHAR(255),
    root_subject VARCHAR(255) NOT NULL,
    created_at TIMESTAMP DEFAULT NOW()
);
"""


class Seed:
    """The seed's memory: what its write, lock and cleanup leave in the tables."""

    def __init__(self, dsn, tables=None):
        self.dsn = dsn
        self.tables = tables or SeedTables()
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.run(DDL)

    def run(self, statement, *arguments):
        names = {}
        for table in ("state", "lock", "hierarchy"):
            place = [self.tables.schema] if self.tables.schema else []
            name = getattr(self.tables, table)
            names[table] = sql.Identifier(*place, name.replace("%", "%%") if arguments else name)
        return self.connection.execute(sql.SQL(statement).format(**names), arguments or None)

    def write(self, data, *, subject=None, version=1, source="com.flow"):
        subject = data["subject"] if subject is None else subject
        if version > 1:
            self.run(
                "UPDATE {state} SET data = %s, version = %s, updated_at = now() WHERE subject = %s",
                Jsonb(data), version, subject,
            )  # fmt: skip
            return
        parent = data.get("parentSubject")
        self.run(
            "INSERT INTO {state} VALUES (%s, %s, %s, %s, %s, 'com.app', %s)",
            subject, Jsonb(data), version, data.get("executionStatus", "unknown"), parent, source,
        )  # fmt: skip
        # Its root is itself when the parent is not there: W-M13.
        self.run(
            """INSERT INTO {hierarchy} VALUES (%s, %s, coalesce(
                   (SELECT root_subject FROM {hierarchy} WHERE subject = %s), %s))""",
            subject, parent, parent, subject,
        )  # fmt: skip

    def lock(self, subject, seconds=120):
        self.run(
            "INSERT INTO {lock} VALUES (%s, now(), now() + make_interval(secs => %s))",
            subject, seconds,
        )  # fmt: skip

    def cleanup(self, subject):
        for table in ("state", "lock", "hierarchy"):
            self.run(f"DELETE FROM {{{table}}} WHERE subject = %s", subject)


@pytest.fixture
def seed(dsn):
    made = []

    def make(place=dsn, tables=None):
        made.append(Seed(place, tables))
        return made[-1]

    yield make
    for one in made:
        one.connection.close()


@pytest.fixture
def memory(connection):
    return Memory(connection)


def state(subject, **more):
    return {"subject": subject, "executionStatus": "normal", "status": "active", **more}


def counts(report):
    names = ("read", "taken", "updated", "placed", "present", "refused")
    return tuple(getattr(report, name) for name in names)


# --- a workflow goes on


def steps_until(golden, cut, source):
    """What a run has done when the workflow has written ``cut`` times: state, open events."""
    writes = [call["data"] for call in golden["memoryOps"] if call["op"] == "write"]
    waiting, seen = {}, 0
    for step in golden["steps"]:
        if "domained" in step:
            waiting[step["reply"]["id"]] = step["reply"]
            continue
        if seen == cut or "delivered_to" in step:
            break
        waiting.pop(step["input"]["id"], None)
        waiting |= {event["id"]: event for event in step["output"] if not event["domain"]}
        seen += step["handler"] == source
    return writes[cut - 1], list(waiting.values())


@pytest.mark.parametrize(
    ("name", "source", "cut"),
    [
        *[("orchestrator_run", "arvo.orc.workflow.average", cut) for cut in (1, 2)],
        *[("resumable_run", "arvo.orc.weighted.average", cut) for cut in range(1, 6)],
    ],
)
async def test_a_workflow_begun_in_typescript_ends_here(broker, seed, name, source, cut):
    golden = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    record, waiting = steps_until(golden, cut, source)
    assert record["status"] == "active"
    theirs = seed(broker.dsn)
    theirs.write(record, source=source)
    for version in range(2, cut + 1):
        theirs.write(record, version=version)
    assert counts(import_v1(broker.dsn)) == (1, 1, 0, 0, 0, 0)

    for handler in create_demo_handlers():
        await broker.register(handler)
    await broker.on_workflow_complete(source="com.test.test")
    await broker.dispatch_many([ArvoEvent.from_dict(event) for event in waiting])
    await broker.run_until_idle()

    final = golden["steps"][-1]["event"]
    assert [(event.type, event.data) for event in broker.completed] == [
        (final["type"], final["data"])
    ]
    with psycopg.connect(broker.dsn) as connection:
        ended = Memory(connection).read_state(record["subject"])
    assert (ended.data["status"], ended.source) == ("done", source)
    assert ended.version == sum(call["op"] == "write" for call in golden["memoryOps"])


# --- what is taken


def test_it_can_be_run_again_and_again_while_they_go_on(dsn, seed, memory):
    theirs = seed()
    theirs.write(state("a"))
    theirs.write(state("b", parentSubject="a"))
    assert counts(import_v1(dsn, dry_run=True)) == (2, 2, 0, 0, 0, 0)
    assert memory.read_state("a") is None
    assert counts(import_v1(dsn)) == (2, 2, 0, 0, 0, 0)
    assert counts(import_v1(dsn)) == (2, 0, 0, 0, 2, 0)
    theirs.write(state("a", step=2), version=2)
    theirs.write(state("c", parentSubject="b"))
    assert counts(import_v1(dsn, dry_run=True)) == (3, 1, 1, 0, 1, 0)
    assert counts(import_v1(dsn)) == (3, 1, 1, 0, 1, 0)
    found = memory.read_state("a")
    assert (found.data, found.version, found.initiator) == (state("a", step=2), 2, "com.app")
    memory.write_state("b", state("b", here=True), 1)
    theirs.write(state("b", there=True), version=2)
    report = import_v1(dsn)
    assert counts(report) == (3, 0, 0, 0, 2, 1)
    assert report.as_dict()["refusals"] == [
        {
            "subject": "b",
            "code": "diverged",
            "detail": "diverged: version 2 is given, but version 2 was written here",
        }
    ]
    assert memory.read_state("b").data == state("b", here=True)


@pytest.mark.parametrize("batch", [1, 2, 200])
def test_roots_are_right_whatever_the_tables_say(dsn, seed, memory, batch):
    theirs = seed()
    # "z" hangs below "m", which was written later: the seed calls it a root.
    theirs.write(state("z", parentSubject="m"))
    theirs.write(state("m", parentSubject="a"))
    theirs.write(state("a"))
    # "leaf" hangs below "twig", which the seed has cleaned up.
    theirs.write(state("twig", parentSubject="a"))
    theirs.write(state("leaf", parentSubject="twig"))
    theirs.cleanup("twig")
    assert theirs.run("SELECT root_subject FROM {hierarchy} WHERE subject = 'z'").fetchone() == (
        "z",
    )
    assert counts(import_v1(dsn, batch=batch)) == (4, 4, 0, 0, 0, 0)
    assert {subject: memory.root_subject(subject) for subject in ("z", "m", "leaf", "a")} == (
        dict.fromkeys(("z", "m", "leaf", "a"), "a")
    )


def test_locks_that_are_held(dsn, seed, memory, connection):
    theirs = seed()
    for subject in ("free", "held", "lapsed"):
        theirs.write(state(subject))
    theirs.lock("held", 600)
    theirs.lock("lapsed", -1)
    theirs.lock("starting", 600)
    report = import_v1(dsn)
    assert counts(report) == (4, 2, 0, 0, 0, 2)
    assert report.reasons == {"locked": 2}
    assert {one.subject for one in report.refusals} == {"held", "starting"}
    assert counts(import_v1(dsn, locked="carry")) == (4, 1, 0, 1, 2, 0)
    assert memory.acquire_lock("held") is None
    assert memory.acquire_lock("starting") is None
    assert memory.acquire_lock("lapsed") is not None
    (left,) = connection.execute(
        "SELECT expires_at - now() FROM arvo.state_lock WHERE subject = 'held'"
    ).fetchone()
    assert timedelta(minutes=5) < left <= timedelta(minutes=10)
    theirs.write(state("held", step=2), version=2)
    assert counts(import_v1(dsn, locked="ignore"))[2] == 1


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Sydney"])
def test_times_are_those_of_their_sessions(dsn, seed, memory, zone):
    theirs = seed()
    theirs.run(f"SET TIME ZONE '{zone}'")
    theirs.write(state("a"))
    theirs.write(state("held"))
    theirs.lock("held", 60)
    theirs.lock("a", -60)
    report = import_v1(dsn, tables=SeedTables(time_zone=zone))
    assert counts(report) == (2, 1, 0, 0, 0, 1)
    age = datetime.now(UTC) - memory.read_state("a").changed_at
    assert timedelta(0) <= age < timedelta(minutes=5)


def test_another_database_other_names(dsn, seed, memory, server):
    other = server.create()
    place = make_conninfo(server.dsn_of(other))
    tables = SeedTables("my Schema", 'st"ate', "lock%s", "tree")
    with psycopg.connect(place, autocommit=True) as made:
        made.execute('CREATE SCHEMA "my Schema"')
    theirs = seed(place, tables)
    for number in range(25):
        theirs.write(state(f"s{number}", number=number))
    told = []
    report = import_v1(
        dsn, from_dsn=place, tables=tables, batch=10, progress=lambda now: told.append(now.read)
    )
    assert (counts(report), told) == ((25, 25, 0, 0, 0, 0), [10, 20, 25])
    assert memory.read_state("s7").data["number"] == 7
    theirs.connection.close()
    server.drop(other)


def test_what_cannot_be_taken(dsn, seed, capsys):
    theirs = seed()
    theirs.write(state("good"))
    theirs.run("INSERT INTO {state} VALUES ('list', '[1]', 1, 'normal', NULL, NULL, 'com.flow')")
    theirs.write(state("mine"), subject="yours")
    theirs.write(state(""), subject="")
    theirs.run("INSERT INTO {state} VALUES ('zero', '{{}}', 0, 'normal', NULL, NULL, 'com.flow')")
    arguments = ["import-v1", "--dsn", dsn, "--json", "--report", "2"]
    assert main(arguments) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["reasons"] == {"subject": 1, "data": 1, "foreign": 1, "version": 1}
    assert [(one["subject"], one["code"]) for one in report["refusals"]] == [
        ("", "subject"), ("list", "data"),
    ]  # fmt: skip
    assert (report["read"], report["taken"], report["refused"]) == (5, 1, 4)


# --- the command


def test_the_command_line(dsn, seed, capsys):
    theirs = seed(tables=SeedTables("public", "s", "l", "h"))
    theirs.write(state("a"))
    theirs.lock("b")
    names = ["--from-schema", "public", "--state-table", "s", "--lock-table", "l"]
    arguments = ["import-v1", "--dsn", dsn, *names, "--hierarchy-table", "h"]
    assert main([*arguments, "--dry-run"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "read 2: would be taken 1, would be updated 0, would be placed 0, present 0, refused 1",
        "refused as locked: 1",
        '"b": locked: somebody holds it for 120 more seconds',
    ]
    assert main([*arguments, "--locked", "carry", "--batch", "1"]) == 0
    assert capsys.readouterr().out == "read 2: taken 1, updated 0, placed 1, present 0, refused 0\n"
    for wrong in (["--batch", "0"], ["--locked", "steal"], ["--report", "-1"]):
        with pytest.raises(SystemExit) as left:
            main([*arguments, *wrong])
        assert left.value.code == 2


def test_tables_that_are_not_there(dsn, empty_dsn, seed):
    with pytest.raises(SchemaMissing, match="Table 'arvopg_mm_state' does not exist"):
        import_v1(dsn)
    theirs = seed()
    theirs.run("ALTER TABLE {hierarchy} DROP COLUMN root_subject")
    with pytest.raises(SchemaMissing, match="'arvopg_mm_hierarchy' structure validation failed"):
        import_v1(dsn)
    with pytest.raises(SchemaMissing):
        import_v1(empty_dsn, from_dsn=dsn)
    with pytest.raises(InvalidArgument):
        import_v1(dsn, batch=0)
